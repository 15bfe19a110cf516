import { expect, test } from "vitest";
import { LeaseOver } from "../../../src/delivery/source-lease.ts";
import type { ConsumedMessage } from "../../../src/jetstream/message.ts";
import {
  ACK,
  createMessageHandler,
  decodedText,
  type MessageEnd,
  type MessageHandlerOptions,
} from "../../../src/jetstream/message-handler.ts";
import { AppError } from "../../../src/model/app-error.ts";
import { createManualClock } from "../../support/manual-clock.ts";
import { silentLogger } from "../../support/silent-logger.ts";

interface Case {
  readonly text?: string;
  readonly deliveries?: number;
  /** Null: Redis does not answer. */
  readonly givenBack?: number | null;
  readonly deadLetter?: Promise<void>;
  readonly handle?: MessageHandlerOptions<unknown>["handle"];
}

/** Handles one message. @returns how it ended, and the dead letters that were stored */
function handlerOf({ text = "{}", deliveries = 1, givenBack = 0, deadLetter, handle = async () => ACK }: Case) {
  const ends: string[] = [];
  const deadLetters: string[] = [];
  const logged: unknown[] = [];
  const clock = createManualClock();
  const redis = { takesNotes: true };
  const lease = { isOurs: true };
  const message = {
    isOurs: () => lease.isOurs,
    ...{ subject: "t.retries.0.acme", stream: "T_RETRIES", sequence: 7, deliveries, data: Buffer.from(text) },
    ack: () => void ends.push("ack"),
    nak: (delayMs: number) => void ends.push(`nak ${delayMs}`),
    fail: (delayMs: number) => void ends.push(`fail ${delayMs}`),
    drop: () => void ends.push("drop"),
  } as unknown as ConsumedMessage;
  const handleMessage = createMessageHandler<unknown>(
    {
      giveBacks: { count: async () => givenBack, mayGiveBack: () => redis.takesNotes },
      clock,
      giveUp: {
        async message(_message, reason, error, app) {
          await deadLetter;
          deadLetters.push(`${reason} ${app}: ${error}`);
        },
      },
      logger: { ...silentLogger, error: (fields: object) => void logged.push(fields) },
    },
    { decode: decodedText(JSON.parse), handle, appOf: () => "acme", onEnd: () => void ends.push("ended") },
  );
  return { ends, deadLetters, logged, message, handleMessage, clock, redis, lease };
}

async function ended(given: Case): Promise<{ readonly ends: readonly string[]; readonly deadLetters: readonly string[] }> {
  const { ends, deadLetters, message, handleMessage } = handlerOf(given);
  handleMessage(message);
  await new Promise(setImmediate);
  return { ends, deadLetters };
}

const fails = (error: unknown) => (): Promise<MessageEnd> => Promise.reject(error);

test.each<[string, Case, string]>([
  ["is handled is acknowledged", {}, "ack"],
  ["asks to be delivered again is given back", { handle: async () => ({ kind: "nak", delayMs: 50 }) }, "nak 50"],
  [
    "can't be stored because NATS is down is given back",
    { handle: fails(new AppError("STREAM_REFUSED", "", { retryable: true })) },
    "nak 1000",
  ],
  ["is too large for its stream fails, which counts", { handle: fails(new AppError("TOO_LARGE", "")) }, "fail 1000"],
  ["hits a bug fails, which counts", { handle: fails(new TypeError("bug")) }, "fail 1000"],
  [
    "hits a bug before anything is awaited fails as well",
    {
      handle: () => {
        throw new TypeError("bug");
      },
    },
    "fail 1000",
  ],
  ["HANDLE-3: lost its lease is dropped", { handle: fails(new LeaseOver({ stream: "T_RETRIES", sequence: 7 })) }, "drop"],
  ["was delivered ten times in vain is handled once more", { deliveries: 11 }, "ack"],
  ["was given back often is handled", { deliveries: 30, givenBack: 19 }, "ack"],
  ["has an unknown number of give-backs is handled", { deliveries: 30, givenBack: null }, "ack"],
])("a message that %s", async (_case, given, end) => {
  expect(await ended(given)).toEqual({ ends: [end, "ended"], deadLetters: [] });
});

test("a message that can't be decoded becomes a dead letter of its app, is not handled, and is acknowledged", async () => {
  const handle = () => expect.fail("it was handled");
  const { ends, deadLetters } = await ended({ text: "{", handle });
  expect(deadLetters).toEqual([expect.stringMatching(/^invalid acme: .*JSON/)]);
  expect(ends).toEqual(["ack", "ended"]);
});

test("HANDLE-2: a poison message becomes a dead letter undecoded", async () => {
  expect(await ended({ text: "{", deliveries: 13, givenBack: 1 })).toEqual({
    ends: ["ack", "ended"],
    deadLetters: ["redelivered acme: redelivered 12 times without being acknowledged"],
  });
});

test("HANDLE-1: a message whose dead letter can't be stored is not acknowledged", async () => {
  const deadLetter = Promise.reject(new AppError("STREAM_REFUSED", "full", { retryable: true }));
  expect(await ended({ text: "{", deadLetter })).toEqual({ ends: ["nak 1000", "ended"], deadLetters: [] });
});

test.each([
  [new AppError("STREAM_REFUSED", "full", { retryable: true }), 0],
  [new TypeError("bug"), 1],
])("HANDLE-4: the log shows why a message is handled again, but a stream's refusal once only: %s", async (fault, lines) => {
  const { logged, message, handleMessage } = handlerOf({ handle: fails(fault) });
  handleMessage(message);
  await new Promise(setImmediate);
  expect(logged).toHaveLength(lines);
});

test.each([
  [1, "nak 1000"],
  [3, "nak 4000"],
  [50, "nak 4000"],
])("HANDLE-4: a message that a stream refuses comes back later each time: delivery %i", async (deliveries, end) => {
  const refused = new AppError("STORE_FULL", "", { retryable: true });
  expect((await ended({ deliveries, givenBack: 49, handle: fails(refused) })).ends).toEqual([end, "ended"]);
});

test.each([
  [true, "nak 1000"],
  [false, "drop"],
])("HANDLE-5: a message that a stream refuses is held while Redis takes no notes (its lease runs: %s)", async (isOurs, end) => {
  const refused = new AppError("STORE_FULL", "", { retryable: true });
  const { ends, message, handleMessage, clock, redis, lease } = handlerOf({ handle: fails(refused) });
  redis.takesNotes = false;
  handleMessage(message);
  await clock.advance(60_000);
  expect(ends).toEqual([]);
  [redis.takesNotes, lease.isOurs] = [true, isOurs];
  await clock.advance(1_000);
  expect(ends).toEqual([end, "ended"]);
});

test("HANDLE-5: a message that is held is handled when there is room, though Redis takes no notes", async () => {
  let isFull = true;
  const handle = async (): Promise<MessageEnd> => {
    if (isFull) throw new AppError("STORE_FULL", "", { retryable: true });
    return ACK;
  };
  const { ends, message, handleMessage, clock, redis } = handlerOf({ handle });
  redis.takesNotes = false;
  handleMessage(message);
  await clock.advance(3_000);
  isFull = false;
  await clock.advance(6_000);
  expect(ends).toEqual(["ack", "ended"]);
});

test("a message that is kept for later has no end until it is passed in again", async () => {
  let isItsTurn = false;
  const { ends, message, handleMessage } = handlerOf({ handle: () => (isItsTurn ? Promise.resolve(ACK) : "later") });
  handleMessage(message);
  await new Promise(setImmediate);
  expect(ends).toEqual([]);
  isItsTurn = true;
  handleMessage(message);
  await new Promise(setImmediate);
  expect(ends).toEqual(["ack", "ended"]);
});
