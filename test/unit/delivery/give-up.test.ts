import { describe, expect, test } from "vitest";
import { createGiveUp, type GivenUp } from "../../../src/delivery/give-up.ts";
import type { UnhandledMessage } from "../../../src/delivery/ports.ts";
import { AppError } from "../../../src/model/app-error.ts";
import type { Delivery } from "../../../src/model/delivery.ts";
import { encodeDeliveryMessage } from "../../../src/model/delivery-message.ts";
import { createTracing } from "../../../src/telemetry/tracing.ts";
import { aDelivery } from "../../support/builders.ts";

const source = { stream: "PARKED", sequence: 3 };

/** Does as the writer of dead letters does, and notes what happened in which order. */
function watched({ isDuplicate = false, refuses = false } = {}) {
  const done: string[] = [];
  const receipt = { subject: "dead-letters.acme", sequence: 9, messageId: "1", isDuplicate };
  const store = async (what: string) => {
    if (refuses) throw new AppError("STREAM_REFUSED", "full", { retryable: true });
    done.push(what);
    return receipt;
  };
  const giveUp = createGiveUp({
    deadLetters: {
      deadLetter: (delivery, reason) => store(`stored ${delivery.id} ${reason}`),
      deadLetterRaw: (_message, reason) => store(`stored raw ${reason}`),
    },
    observer: { deadLettered: (reason, delivery) => void done.push(`counted ${reason} ${delivery?.id ?? "unread"}`) },
    tracing: createTracing(null),
    publish: async ({ delivery, reason }: GivenUp) => void done.push(`published ${delivery.id} ${reason}`),
    recordLocation: ({ id }: Delivery, { sequence }) => void done.push(`noted ${id} at ${sequence}`),
  });
  return { giveUp, done };
}

const delivery = aDelivery({ id: "dlv_1" });
const messageOf = (data: string, deliveries: number): UnhandledMessage => ({
  ...{ ...source, subject: "retries.1.acme", consumer: "c", deliveries, storedAt: 0 },
  data: Buffer.from(data),
  header: () => undefined,
  headers: () => ({}),
});
const text = encodeDeliveryMessage({ delivery, dueAt: null, delayMs: 0, notBefore: false });

describe("a delivery that is given up", () => {
  test("is stored, counted and then published", async () => {
    const { giveUp, done } = watched();
    await giveUp.delivery({ delivery, reason: "expired", error: null }, source);
    expect(done).toEqual(["stored dlv_1 expired", "counted expired dlv_1", "published dlv_1 expired"]);
  });

  test("counts once when its source is handled again, and is published for certain", async () => {
    const { giveUp, done } = watched({ isDuplicate: true });
    await giveUp.delivery({ delivery, reason: "exhausted", error: null }, source);
    expect(done).toEqual(["stored dlv_1 exhausted", "published dlv_1 exhausted"]);
  });

  test("is neither counted nor published when it can't be stored", async () => {
    const { giveUp, done } = watched({ refuses: true });
    await expect(giveUp.delivery({ delivery, reason: "gone", error: null }, source)).rejects.toMatchObject({ code: "STREAM_REFUSED" });
    await expect(giveUp.message(messageOf(text, 12), "redelivered", "", "acme")).rejects.toMatchObject({ code: "STREAM_REFUSED" });
    expect(done).toEqual([]);
  });
});

describe("a poison message", () => {
  test("is stored before it is read; the delivery in it is noted and published", async () => {
    const { giveUp, done } = watched();
    await giveUp.message(messageOf(text, 12), "redelivered", "redelivered 11 times", "acme");
    expect(done).toEqual(["stored raw redelivered", "counted redelivered dlv_1", "noted dlv_1 at 9", "published dlv_1 redelivered"]);
  });

  test.each([
    ["holds no delivery", messageOf("{", 12), "acme"],
    ["belongs to no app", messageOf(text, 12), null],
    ["came back after it was read", messageOf(text, 16), "acme"],
  ])("that %s is stored and counted only", async (_why, message, app) => {
    const { giveUp, done } = watched();
    await giveUp.message(message, "redelivered", "", app);
    expect(done).toEqual(["stored raw redelivered", "counted redelivered unread"]);
  });
});
