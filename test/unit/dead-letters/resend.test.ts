import { beforeEach, expect, test } from "vitest";
import { createResend, type Resend } from "../../../src/dead-letters/resend.ts";
import { createSubjects } from "../../../src/jetstream/subjects.ts";
import { AppError } from "../../../src/model/app-error.ts";
import { newDelivery } from "../../../src/model/delivery.ts";
import type { LocatedDelivery, RunHistory } from "../../../src/model/delivery-location.ts";
import { createTracing } from "../../../src/telemetry/tracing.ts";
import { anEvent, UUID } from "../../support/builders.ts";

const delivery = newDelivery(anEvent({ id: "e-1" }), "acme", UUID, 3);
const located: LocatedDelivery = { stream: "dead-letters", sequence: 7, storedAt: 0, delivery, reason: "rejected", error: null };

const waiting: LocatedDelivery = { stream: "retries", sequence: 9, storedAt: 0, delivery, dueAt: 0, tierS: 1 };
const DIED_AT = Date.parse("2026-11-30T12:00:00.000Z");

/** Dead letters that are there. */
let deadLetters: Set<number>;
/** Message id and run of each store. */
let stored: string[];
let removalFails: boolean;
/** Where the delivery is now, and its runs. */
let place: LocatedDelivery | null;
let runs: RunHistory[];
let resend: Resend;

beforeEach(() => {
  deadLetters = new Set([7]);
  stored = [];
  removalFails = false;
  place = located;
  runs = [];
  resend = createResend({
    names: createSubjects("t"),
    events: {
      at: async () => ({ event: delivery.event, sequence: 3, stream: "EVENTS", storedAt: 0, problem: null, stage: "handled" }),
    } as never,
    find: async () => [{ app: "acme", installationUuid: UUID, eventSequence: 3, runs, location: null, skips: [] }],
    locate: async () => (place?.stream === "dead-letters" && !deadLetters.has(place.sequence) ? null : place),
    deadLetters: {
      async get(sequence) {
        if (!deadLetters.has(sequence)) throw new AppError("NOT_FOUND", `no dead letter ${sequence}`);
        return { sequence, app: "acme", json: "{}", content: { dead_lettered_at: "2026-11-30T12:00:00.000Z" } };
      },
      async remove(sequence) {
        if (removalFails) throw new AppError("NATS_UNREACHABLE", "away", { retryable: true });
        deadLetters.delete(sequence);
      },
    },
    storeAgain: async ({ replay, counted }, { stream, sequence }) => void stored.push(`${stream}:${sequence} ${replay} ${counted}`),
    tracing: createTracing(null),
  });
});

test("a resend of a dead letter that is asked for again, as its removal failed, is the same run, under the same message id", async () => {
  removalFails = true;
  await expect(resend(delivery.id)).rejects.toThrow("away");
  removalFails = false;
  const run = await resend(delivery.id);
  expect(stored).toEqual(Array(2).fill(`T_DEAD_LETTERS:7 ${run} false`));
  expect([run, [...deadLetters]]).toEqual([`dead-letter-7-${DIED_AT}`, []]);
});

test.each<[string, (run: string) => void]>([
  [
    "waits for its retry",
    (run) => {
      place = { ...waiting, delivery: { ...delivery, replay: run } };
    },
  ],
  [
    "was delivered",
    (run) => {
      place = null;
      runs = [{ replay: run, delivered: true, last: null }];
    },
  ],
])("a resend that is asked for again is the same run while its first one %s", async (_state, moves) => {
  removalFails = true;
  await expect(resend(delivery.id)).rejects.toThrow("away");
  removalFails = false;
  moves(`dead-letter-7-${DIED_AT}`);
  const run = await resend(delivery.id);
  expect(stored).toEqual(Array(2).fill(`T_DEAD_LETTERS:7 ${run} false`));
  expect([...deadLetters]).toEqual([]);
});

test("a resend of a resend that failed takes both dead letters away", async () => {
  removalFails = true;
  await expect(resend(delivery.id)).rejects.toThrow("away");
  removalFails = false;
  deadLetters.add(8);
  place = { ...located, sequence: 8, delivery: { ...delivery, replay: `dead-letter-7-${DIED_AT}` } };
  const run = await resend(delivery.id);
  expect(stored.at(-1)).toBe(`T_DEAD_LETTERS:8 ${run} false`);
  expect([...deadLetters]).toEqual([]);
});

test("a resend without a dead letter is a run of its own each time", async () => {
  deadLetters.clear();
  const runs = [await resend(delivery.id), await resend(delivery.id)];
  expect(new Set(runs).size).toBe(2);
  expect(stored).toEqual(runs.map((run) => `${run}:0 ${run} false`));
});
