import { NatsError, type PubAck } from "nats";
import { expect, test } from "vitest";
import { LeaseOver } from "../../../src/delivery/source-lease.ts";
import { createDurablePublish, type MessageToStore } from "../../../src/jetstream/durable-publish.ts";
import { createManualClock } from "../../support/manual-clock.ts";
import { silentLogger } from "../../support/silent-logger.ts";

type Answer = "ack" | "duplicate" | Error;

const REFUSED = new Error("insufficient storage");

/** A stream that gives these answers, then the last one again and again. */
function publishTo(answers: readonly Answer[], isUp: () => boolean = () => true) {
  const clock = createManualClock();
  const tries: Array<{ readonly subject: string; readonly body: string; readonly atMs: number }> = [];
  const startedAt = clock.now();
  const durable = createDurablePublish({
    async publish({ subject, body }) {
      const answer = answers[Math.min(tries.length, answers.length - 1)];
      tries.push({ subject, body, atMs: clock.now() - startedAt });
      if (answer instanceof Error) throw answer;
      return { seq: 42, stream: "T", ...(answer === "duplicate" ? { duplicate: true } : {}) } as PubAck;
    },
    ...{ clock, isUp, logger: silentLogger },
  });
  return { clock, tries, durable };
}

const aMessage = (more: Partial<MessageToStore> = {}): MessageToStore => ({
  ...{ stream: "retries", subject: "t.retries.5.acme", size: 10, body: () => "body", messageId: "id", trace: null },
  ...more,
});

test("PUBLISH-1: a refused message is tried every half second until it is stored; the stream counts as refusing meanwhile", async () => {
  const { clock, tries, durable } = publishTo([REFUSED, REFUSED, "ack"]);
  let ref: unknown;
  void durable.store(aMessage(), null).then((stored) => {
    ref = stored;
  });
  await clock.advance(0);
  expect([durable.refusing(), durable.counts()]).toEqual([["retries"], { pending: 1, pendingBytes: 10, waiting: 0 }]);
  await clock.advance(500);
  expect(ref).toBeUndefined();
  await clock.advance(500);
  expect(tries.map(({ atMs }) => atMs)).toEqual([0, 500, 1_000]);
  expect(ref).toEqual({ subject: "t.retries.5.acme", sequence: 42, messageId: "id", isDuplicate: false });
  expect([durable.refusing(), durable.counts()]).toEqual([[], { pending: 0, pendingBytes: 0, waiting: 0 }]);
});

test("a duplicate of an own try is none, one of an earlier call is", async () => {
  const again = publishTo([REFUSED, "duplicate"]);
  const stored = again.durable.store(aMessage(), null);
  await again.clock.advance(500);
  expect(await stored).toMatchObject({ isDuplicate: false });
  expect(await publishTo(["duplicate"]).durable.store(aMessage(), null)).toMatchObject({ isDuplicate: true });
});

test("PUBLISH-1: nothing is tried after the deadline, and the caller may try again", async () => {
  const { clock, tries, durable } = publishTo([REFUSED]);
  const stored = expect(durable.store(aMessage(), clock.now() + 1_200)).rejects.toMatchObject({ code: "STREAM_REFUSED", retryable: true });
  await clock.advance(60_000);
  await stored;
  expect(tries.map(({ atMs }) => atMs)).toEqual([0, 500, 1_000]);
});

test("PUBLISH-1: a message that the server refuses for two seconds is not tried any longer, and no answer is no refusal", async () => {
  const full = new NatsError("insufficient storage", "503");
  full.api_error = { code: 503, err_code: 10077, description: "insufficient storage" };
  const { clock, tries, durable } = publishTo([full, REFUSED, full]);
  const stored = expect(durable.store(aMessage(), null)).rejects.toMatchObject({ code: "STREAM_REFUSED", retryable: true });
  await clock.advance(60_000);
  await stored;
  // The third is the first of a series.
  expect(tries.map(({ atMs }) => atMs)).toEqual([0, 500, 1_000, 1_500, 2_000, 2_500]);
  expect(durable.refusing()).toEqual([]);
});

test("with a deadline nothing is published while NATS is down: the library would send it later", async () => {
  let isUp = false;
  const { clock, tries, durable } = publishTo(["ack"], () => isUp);
  const stored = durable.store(aMessage(), clock.now() + 5_000);
  await clock.advance(600);
  expect(tries).toEqual([]);
  isUp = true;
  await clock.advance(500);
  expect(await stored).toMatchObject({ sequence: 42 });
});

test("PUBLISH-2: a message that is too large is tried once", async () => {
  const tooLarge = new NatsError("message size exceeds maximum allowed", "400");
  tooLarge.api_error = { code: 400, err_code: 10054, description: "message size exceeds maximum allowed" };
  const { tries, durable } = publishTo([tooLarge]);
  await expect(durable.store(aMessage(), null)).rejects.toMatchObject({ code: "STREAM_REFUSED", retryable: false });
  expect(tries).toHaveLength(1);
  expect(durable.refusing()).toEqual([]);
});

test("PUBLISH-3: a message that the stream accepts does not end the refusal of another", async () => {
  const { clock, durable } = publishTo([REFUSED, "ack", REFUSED]);
  void durable.store(aMessage(), null).catch(() => {});
  await clock.advance(0);
  await durable.store(aMessage({ messageId: "other" }), null);
  expect(durable.refusing()).toEqual(["retries"]);
  durable.stop();
  await clock.advance(500);
  expect(durable.refusing()).toEqual([]);
});

test("nothing is stored once the lease of the source is over, also while a refused message waits", async () => {
  let isOurs = true;
  const { clock, tries, durable } = publishTo([REFUSED]);
  const source = { stream: "T", sequence: 1, isOurs: () => isOurs };
  const stored = expect(durable.store(aMessage({ source }), null)).rejects.toBeInstanceOf(LeaseOver);
  await clock.advance(0);
  isOurs = false;
  await clock.advance(500);
  await stored;
  expect(tries).toHaveLength(1);
});

test("PUBLISH-4: a stream that refuses delays no other, and bodies are made in the order of the calls when they are published", async () => {
  const { clock, tries, durable } = publishTo([REFUSED]);
  const made: number[] = [];
  for (let nth = 0; nth < 300; nth++) {
    const body = (): string => {
      made.push(nth);
      return String(nth);
    };
    durable.store(aMessage({ body }), null).catch(() => {});
  }
  await clock.advance(0);
  expect(made).toEqual(Array.from({ length: 256 }, (_, nth) => nth));
  expect(durable.counts()).toMatchObject({ pending: 256, waiting: 44 });
  durable.store(aMessage({ stream: "parked", subject: "t.parked.acme" }), null).catch(() => {});
  durable.store(aMessage({ window: "fan-out", subject: "t.retries.0._fan-out" }), null).catch(() => {});
  await clock.advance(0);
  expect(tries.slice(256).map(({ subject }) => subject)).toEqual(["t.parked.acme", "t.retries.0._fan-out"]);
  durable.stop();
  await clock.advance(500);
  expect(durable.counts()).toEqual({ pending: 0, pendingBytes: 0, waiting: 0 });
  expect(made).toHaveLength(256);
});
