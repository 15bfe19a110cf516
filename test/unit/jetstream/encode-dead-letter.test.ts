import { expect, test } from "vitest";
import { encodeDeadLetter } from "../../../src/jetstream/encode-dead-letter.ts";
import { aDelivery, anEvent } from "../../support/builders.ts";

const facts = { reason: "overflow", error: "too large", dead_lettered_at: "2026-01-05T10:11:12.345Z" } as const;
const attempts = Array.from({ length: 50 }, (_, at) => ({
  ...{ attempt: at + 1, at: "2026-01-05T10:11:12.345Z", outcome: "failed" as const, responseCode: 500, durationMs: 1.5 },
  error: "é".repeat(256),
}));
const delivery = aDelivery({ attempts }, anEvent({ dataJson: JSON.stringify({ text: "é".repeat(30_000) }) }));
const encoded = (maxBytes: number) => {
  const text = encodeDeadLetter(delivery, facts, maxBytes);
  return { bytes: Buffer.byteLength(text), content: JSON.parse(text) as Record<string, any> };
};

test("a dead letter is whole where it fits", () => {
  const { content } = encoded(1_000_000);
  expect(content["event"].data.text).toHaveLength(30_000);
  expect(content).not.toHaveProperty("body_cut");
});

test("a dead letter that does not fit has the beginning of its event's data, and all attempts", () => {
  const { bytes, content } = encoded(60_000);
  expect(bytes).toBeLessThan(60_000);
  expect(content).toMatchObject({ body_cut: true, body_bytes: 60_011, event: { data: {} } });
  expect(content["body"]).toMatch(/^\{"text":"é+$/);
  expect(content["attempts"]).toHaveLength(50);
});

test("where its attempts would not fit either, it has none", () => {
  const { bytes, content } = encoded(16_384);
  expect(bytes).toBeLessThan(16_384);
  expect(content).toMatchObject({ body_cut: true, body: "", attempts: [], attempts_made: delivery.attemptsMade });
});
