import { expect, test } from "vitest";
import { createFence } from "../../../src/subscribers/parked/fence.ts";

const parked = (sequence: number, token?: string) => ({
  source: { stream: "PARKED", sequence },
  message: {
    subject: "",
    consumer: "",
    sequence,
    deliveries: 0,
    header: (name: string) => (name === "posthorn-fence" ? token : undefined),
  },
});

test("what an earlier owner stored after the present one took over is late; everything else counts", () => {
  const { isLate } = createFence(7, 100);
  expect(isLate(parked(101, "6"))).toBe(true);
  expect([parked(100, "6"), parked(101, "7"), parked(101), parked(101, "8")].map(isLate)).toEqual([false, false, false, false]);
});
