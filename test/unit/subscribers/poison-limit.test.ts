import { expect, test } from "vitest";
import type { HandedOut } from "../../../src/delivery/ports.ts";
import { createPoisonLimit, type HandOutCounts } from "../../../src/subscribers/parked/poison-limit.ts";
import { aDelivery } from "../../support/builders.ts";

/** Redis: outlives the processes. */
function counts() {
  const found = new Map<number | string, number>();
  let isUp = true;
  const keyOf = ({ sequence, dedupKey }: HandedOut): number | string => dedupKey ?? sequence;
  const add = (message: HandedOut, by: number): number => {
    const count = (found.get(keyOf(message)) ?? 0) + by;
    if (count > 0) found.set(keyOf(message), count);
    else found.delete(keyOf(message));
    return count;
  };
  return {
    found,
    goDown: () => {
      isUp = false;
    },
    begin: async (message) => (isUp ? add(message, 1) : null),
    end: (message) => void found.delete(keyOf(message)),
    giveBack: (message) => void add(message, -1),
  } satisfies HandOutCounts & Record<string, unknown>;
}

const message = (sequence: number) => ({ stream: "PARKED", sequence });

function aProcess(redis: HandOutCounts, lastSuspect = 100) {
  const limit = createPoisonLimit(redis, "EVENTS");
  limit.suspect({ PARKED: lastSuspect });
  const handOut = (sequence: number) => {
    const found = limit.reading(message(sequence));
    if (found === null) throw new Error(`${sequence} is not a suspect`);
    return found;
  };
  return { limit, handOut };
}

const crashes = async (redis: HandOutCounts, times: number, sequence = 1): Promise<void> => {
  for (let n = 0; n < times; n++) await aProcess(redis).handOut(sequence).begin();
};

test("a message is poison after 10 hand-outs in vain, and stays it", async () => {
  const redis = counts();
  await crashes(redis, 9);
  expect(await aProcess(redis).handOut(1).begin()).toBeNull();
  for (let n = 0; n < 3; n++) {
    const handOut = aProcess(redis).handOut(1);
    expect(await handOut.begin()).toBe("handed out 11 times, and the process died each time");
    handOut.end();
  }
});

test("a hand-out that ends leaves nothing of the count", async () => {
  const redis = counts();
  await crashes(redis, 9);
  const handOut = aProcess(redis).handOut(1);
  expect([await handOut.begin(), await handOut.begin()]).toEqual([null, null]);
  handOut.end();
  expect(redis.found.size).toBe(0);
});

test("a hand-out that no attempt follows leaves the count as it was, and its turn to the next one", async () => {
  const redis = counts();
  for (const sequence of [1, 2]) await crashes(redis, 7, sequence);
  const { handOut } = aProcess(redis);
  const [one, two] = [handOut(1), handOut(2)];
  for (let n = 0; n < 3; n++) {
    await one.begin();
    one.giveBack();
    one.end();
  }
  await two.begin();
  expect([redis.found.get(1), redis.found.get(2)]).toEqual([7, 8]);
});

test("only what was stored before the owner took over is a suspect", () => {
  const { limit } = aProcess(counts(), 5);
  expect([limit.reading(message(5)) === null, limit.reading(message(6)), limit.suspects()]).toEqual([false, null, { PARKED: 5 }]);
});

test("a probe is counted whatever it probes with", async () => {
  const redis = counts();
  for (let n = 0; n < 10; n++) await createPoisonLimit(redis, "EVENTS").probe.reading(message(1)).begin();
  expect(await createPoisonLimit(redis, "EVENTS").probe.reading(message(1)).begin()).not.toBeNull();
});

test("a stop gives back what is handed out, and counts nothing any more", async () => {
  const redis = counts();
  for (let n = 0; n < 30; n++) {
    const { limit, handOut } = aProcess(redis);
    await handOut(1).begin();
    limit.stop();
    await handOut(2).begin();
  }
  expect(redis.found.size).toBe(0);
});

test("nothing is poison while the count is unknown", async () => {
  const redis = counts();
  await crashes(redis, 30);
  redis.goDown();
  expect(await aProcess(redis).handOut(1).begin()).toBeNull();
});

test("those that were handed out in vain several times take turns, so that one alone is counted further", async () => {
  const redis = counts();
  for (const sequence of [1, 2]) await crashes(redis, 7, sequence);
  const { handOut } = aProcess(redis);
  const [one, two] = [handOut(1), handOut(2)];
  let hasBegun = false;
  await one.begin();
  const waiting = two.begin().then(() => {
    hasBegun = true;
  });
  for (let n = 0; n < 20; n++) await Promise.resolve();
  expect([hasBegun, redis.found.get(1), redis.found.get(2)]).toEqual([false, 8, 7]);
  one.end();
  await waiting;
  expect([redis.found.has(1), redis.found.get(2)]).toEqual([false, 8]);
});

const inEvents = (sequence: number) => ({ stream: "EVENTS", sequence });

test("a delivery that is stored while it waits for its attempt is counted further", async () => {
  const redis = counts();
  const limit = createPoisonLimit(redis, "EVENTS");
  limit.suspect({ EVENTS: 7, PARKED: 3 });
  const delivery = aDelivery({ eventSequence: 7 });
  await limit.attempt({ delivery, source: inEvents(7) })?.begin();
  await limit.attempt({ delivery: { ...delivery, stores: 1, firstParkedAt: 0 }, source: message(4) })?.begin();
  expect([...redis.found.values()]).toEqual([2]);
  expect(limit.attempt({ delivery: { ...delivery, eventSequence: 8 }, source: inEvents(8) })).toBeNull();
});

test("a replay is a suspect only if it was stored before the owner took over, and is counted for itself", async () => {
  const redis = counts();
  const limit = createPoisonLimit(redis, "EVENTS");
  limit.suspect({ EVENTS: 1_000, PARKED: 50 });
  const delivery = aDelivery({ eventSequence: 10 });
  const replay = { ...delivery, replay: "dead-letter-1-0" };
  for (const held of [delivery, replay]) await limit.attempt({ delivery: held, source: message(50) })?.begin();
  expect([...redis.found.values()]).toEqual([1, 1]);
  expect(limit.attempt({ delivery: replay, source: message(51) })).toBeNull();
});

test("a stored delivery that names no event is a suspect by its message alone", () => {
  const limit = createPoisonLimit(counts(), "EVENTS");
  const isSuspect = (sequence: number) =>
    limit.attempt({ delivery: aDelivery({ eventSequence: null }), source: message(sequence) }) !== null;
  expect(isSuspect(1)).toBe(false);
  limit.suspect({ EVENTS: 7, PARKED: 3 });
  expect([isSuspect(3), isSuspect(4)]).toEqual([true, false]);
});

test("a stored delivery is a suspect also when the events stream was created again, with smaller sequences", () => {
  const limit = createPoisonLimit(counts(), "EVENTS");
  limit.suspect({ EVENTS: 0, PARKED: 50 });
  const isSuspect = (sequence: number) =>
    limit.attempt({ delivery: aDelivery({ eventSequence: 5_000 }), source: message(sequence) }) !== null;
  expect([isSuspect(50), isSuspect(51)]).toEqual([true, false]);
});
