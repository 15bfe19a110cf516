import { ErrorCode, NatsError, type PubAck } from "nats";
import { expect, test } from "vitest";
import { LeaseOver } from "../../../src/delivery/source-lease.ts";
import { createDurablePublish, type MessageToStore } from "../../../src/jetstream/durable-publish.ts";
import { createManualClock } from "../../support/manual-clock.ts";
import { silentLogger } from "../../support/silent-logger.ts";

type Answer = "ack" | "duplicate" | Error;

const REFUSED = new Error("the connection was lost");
const FULL = answered(503, 10077, "maximum messages exceeded");
const DUPLICATE_IN_PROCESS = answered(409, 10158, "duplicate message id is in process");

function answered(code: number, errorCode: number, description: string): NatsError {
  const error = new NatsError(description, String(code));
  error.api_error = { code, err_code: errorCode, description };
  return error;
}

/** A stream that gives these answers, then the last one again and again. */
function publishTo(answers: readonly Answer[], isUsable: () => boolean = () => true) {
  const clock = createManualClock();
  const tries: Array<{ readonly subject: string; readonly body: string; readonly atMs: number }> = [];
  const startedAt = clock.now();
  const logged: string[] = [];
  const log = (_fields: object, text: string): void => void logged.push(text);
  const durable = createDurablePublish({
    async publish({ subject, body }) {
      const answer = answers[Math.min(tries.length, answers.length - 1)];
      tries.push({ subject, body: String(body), atMs: clock.now() - startedAt });
      if (answer instanceof Error) throw answer;
      return { seq: 42, stream: "T", ...(answer === "duplicate" ? { duplicate: true } : {}) } as PubAck;
    },
    ...{ clock, isUsable, logger: { ...silentLogger, error: log, info: log } },
  });
  return { clock, tries, durable, logged };
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

test("PUBLISH-1: a message that there is no room for is not tried longer than two seconds; no answer, and another one, is no refusal", async () => {
  const { clock, tries, durable } = publishTo([FULL, REFUSED, FULL, DUPLICATE_IN_PROCESS, FULL]);
  const stored = expect(durable.store(aMessage(), null)).rejects.toMatchObject({ code: "STORE_FULL", retryable: true });
  await clock.advance(60_000);
  await stored;
  // The fifth is the first of a series.
  expect(tries.map(({ atMs }) => atMs)).toEqual([0, 500, 1_000, 1_500, 2_000, 2_500, 3_000, 3_500]);
});

test("PUBLISH-1: those that have waited for two seconds are not stored either when one of their window is not", async () => {
  const { clock, tries, durable } = publishTo([FULL]);
  const ends: string[] = [];
  const store = (nth: number, until: number | null): void =>
    void durable.store(aMessage({ body: () => String(nth) }), until).catch(({ code }) => void ends.push(`${nth} ${code}`));
  for (let nth = 0; nth < 600; nth++) store(nth, null);
  store(600, clock.now() + 60_000);
  await clock.advance(1_200);
  store(601, null);
  await clock.advance(300);
  expect(ends).toHaveLength(256);
  // The next window's last try is when the others have waited for longer.
  await clock.advance(1_500);
  expect(ends).toHaveLength(600);
  expect(new Set(ends.map((end) => end.split(" ")[1]))).toEqual(new Set(["STORE_FULL"]));
  expect(new Set(tries.map(({ body }) => body)).size).toBe(2 * 256 + 2);
  expect(durable.counts()).toMatchObject({ pending: 2, waiting: 0 });
  durable.stop();
  await clock.advance(500);
  expect(ends.slice(600).toSorted()).toEqual(["600 STREAM_REFUSED", "601 STREAM_REFUSED"]);
});

test("a full store does not end the wait of a caller with a deadline before it, nor does it name it otherwise", async () => {
  const { clock, tries, durable } = publishTo([FULL]);
  const stored = expect(durable.store(aMessage(), clock.now() + 5_000)).rejects.toMatchObject({ code: "STREAM_REFUSED", retryable: true });
  await clock.advance(60_000);
  await stored;
  expect(tries).toHaveLength(10);
});

test("with a deadline nothing is published while NATS is down: the library would send it later", async () => {
  let isUsable = false;
  const { clock, tries, durable } = publishTo(["ack"], () => isUsable);
  const stored = durable.store(aMessage(), clock.now() + 5_000);
  await clock.advance(600);
  expect(tries).toEqual([]);
  isUsable = true;
  await clock.advance(500);
  expect(await stored).toMatchObject({ sequence: 42 });
});

test("PUBLISH-2: a message that is too large is tried once", async () => {
  const { tries, durable } = publishTo([answered(400, 10054, "message size exceeds maximum allowed")]);
  await expect(durable.store(aMessage(), null)).rejects.toMatchObject({ code: "TOO_LARGE", retryable: false });
  expect(tries).toHaveLength(1);
  expect(durable.refusing()).toEqual([]);
});

test("PUBLISH-2: a message that is too large is tried again while the server takes too small ones altogether", async () => {
  let isUsable = false;
  const { clock, tries, durable } = publishTo([new NatsError("", ErrorCode.MaxPayloadExceeded), "ack"], () => isUsable);
  const stored = durable.store(aMessage(), null);
  await clock.advance(0);
  expect([tries.length, durable.refusing()]).toEqual([1, ["retries"]]);
  isUsable = true;
  await clock.advance(500);
  expect(await stored).toMatchObject({ sequence: 42 });
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

test("PUBLISH-3: a full stream refuses until it stores something, or nothing comes back to it; the log says each once", async () => {
  const { clock, durable, logged } = publishTo([...Array<Answer>(12).fill(FULL), "ack", FULL]);
  const store = (): void => void durable.store(aMessage(), null).catch(() => {});
  for (let n = 0; n < 3; n++) {
    store();
    await clock.advance(18_000);
    expect([durable.counts().pending, durable.refusing()]).toEqual([0, ["retries"]]);
  }
  expect(logged).toEqual(["stream refuses messages; their sources stay unacknowledged"]);
  store();
  await clock.advance(0);
  expect(durable.refusing()).toEqual([]);
  expect(logged.slice(1)).toEqual(["stream accepts messages again"]);
  store();
  await clock.advance(10_000);
  expect(durable.refusing()).toEqual(["retries"]);
  await clock.advance(30_000);
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
