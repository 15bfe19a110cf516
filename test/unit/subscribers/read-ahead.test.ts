import { expect, test } from "vitest";
import type { ConsumedMessage } from "../../../src/jetstream/message.ts";
import type { Installation } from "../../../src/model/app.ts";
import { createReadAhead, type ReadAhead, type ReadAheadOptions } from "../../../src/subscribers/read-ahead.ts";
import { anInstallation } from "../../support/builders.ts";
import { createManualClock } from "../../support/manual-clock.ts";

const MESSAGE_BYTES = 1_024;

/** Events of single apps, of which those in `waiting` have to wait. */
function world(options: Partial<ReadAheadOptions> = {}) {
  const clock = createManualClock();
  const state = { waiting: new Set<string>(), crowded: new Set<string>(), beingStored: 0, waitingForApps: 0 };
  const begun: string[] = [];
  const targets = new Map<ConsumedMessage, readonly Installation[]>();
  const ends = new Map<string, () => void>();
  const begin = (message: ConsumedMessage): void => {
    const installations = targets.get(message) ?? [];
    if (readAhead.postpone(message, installations)) return;
    begun.push(message.subject);
    const end = readAhead.begun(installations);
    ends.set(message.subject, () => {
      end();
      readAhead.ended(message);
    });
  };
  const readAhead: ReadAhead = createReadAhead(
    {
      mustWait: ({ app }) => state.waiting.has(app),
      isCrowded: (app) => state.crowded.has(app),
      waitingForApps: () => state.waitingForApps,
      beingStored: () => state.beingStored,
      begin,
      clock,
    },
    { maxInFlight: 4, maxBytes: 1_000 * MESSAGE_BYTES, ...options },
  );
  const arrive = (name: string, apps: readonly string[], { bytes = 0, pending = 0 } = {}): void => {
    const message = { subject: name, data: new Uint8Array(bytes), pending } as unknown as ConsumedMessage;
    targets.set(
      message,
      apps.map((app) => anInstallation({ app })),
    );
    readAhead.received(message);
    begin(message);
  };
  return { clock, state, begun, readAhead, arrive, end: (name: string) => ends.get(name)?.() };
}

test("as many deliveries are held as the process may have in flight, however many each event has", () => {
  const { readAhead, arrive, end } = world({ maxInFlight: 12 });
  expect([readAhead.room(), readAhead.window()]).toEqual([12, 12]);
  for (let n = 0; n < 200; n++) {
    arrive(`warm ${n}`, ["a", "b", "c", "d"]);
    end(`warm ${n}`);
  }
  expect([readAhead.room(), readAhead.window()]).toEqual([3, 3]);
  arrive("one", ["a", "b", "c", "d"]);
  arrive("two", ["a", "b", "c", "d"]);
  expect(readAhead.room()).toBe(1);
  arrive("three", ["a", "b", "c", "d"]);
  expect(readAhead.room()).toBe(0);
});

test("what is being stored, or waits for its own app, is read past", () => {
  const { readAhead, state, arrive } = world();
  for (let n = 0; n < 4; n++) arrive(`n-${n}`, ["a"]);
  expect(readAhead.room()).toBe(0);
  state.beingStored = 3;
  expect(readAhead.room()).toBe(3);
  state.waitingForApps = 1;
  expect(readAhead.room()).toBe(4);
});

test("bytes limit what is held, by the size of messages so far; a message always has room when nothing is held", () => {
  const { readAhead, state, arrive, end } = world({ maxBytes: 10 * MESSAGE_BYTES, maxInFlight: 100 });
  state.beingStored = 100;
  arrive("large", ["a"], { bytes: 9 * MESSAGE_BYTES });
  expect(readAhead.room()).toBe(0);
  end("large");
  expect(readAhead.room()).toBeGreaterThan(0);
});

test("while there is more to read, what has to wait is postponed and the others begin at once", async () => {
  const { clock, state, begun, arrive } = world();
  state.waiting.add("dead");
  arrive("d-0", ["dead"], { pending: 1_000 });
  arrive("d-1", ["dead"], { pending: 999 });
  arrive("healthy", ["healthy"], { pending: 998 });
  arrive("both", ["dead", "healthy"], { pending: 997 });
  expect(begun).toEqual(["healthy", "both"]);
  await clock.advance(5);
  expect(begun).toEqual(["healthy", "both", "d-0", "d-1"]);
});

test("few postponed events begin while there is more to read, and all of them afterwards, in their order", async () => {
  const { clock, state, begun, arrive } = world({ maxInFlight: 100 });
  state.waiting.add("dead");
  const names = Array.from({ length: 60 }, (_, n) => `d-${n}`);
  for (const name of names) arrive(name, ["dead"], { pending: 1_000 });
  await clock.advance(5);
  expect(begun).toEqual(names.slice(0, 8));
  arrive("last", ["dead"], { pending: 0 });
  await clock.advance(5);
  expect(begun).toEqual([...names, "last"]);
});

test("an event of an app that has taken its share waits for those before it, and for a slot of the app", async () => {
  const { clock, state, begun, arrive, end } = world();
  arrive("first", ["slow"]);
  state.waiting.add("slow");
  state.crowded.add("slow");
  arrive("second", ["slow"]);
  arrive("third", ["slow"]);
  arrive("other", ["other"]);
  await clock.advance(100);
  expect(begun).toEqual(["first", "other"]);
  state.crowded.delete("slow");
  end("first");
  expect(begun).toEqual(["first", "other", "second"]);
  state.waiting.delete("slow");
  arrive("fourth", ["slow"]);
  await clock.advance(5);
  expect(begun).toEqual(["first", "other", "second", "third", "fourth"]);
});

test("when the room is scarce, postponed events begin although their app is full", async () => {
  const { clock, state, begun, arrive } = world({ maxBytes: 10 * MESSAGE_BYTES });
  state.waiting.add("slow");
  state.crowded.add("slow");
  for (let n = 0; n < 8; n++) arrive(`n-${n}`, ["slow"]);
  await clock.advance(100);
  expect(begun).toEqual([]);
  arrive("n-8", ["slow"]);
  await clock.advance(5);
  expect(begun).toHaveLength(9);
});

test("with too many deliveries under way, an event for many waits for its turn, while those for few continue", () => {
  const { begun, arrive, end } = world();
  const many = Array.from({ length: 100 }, (_, n) => `app-${n}`);
  arrive("many-0", many);
  arrive("many-1", many);
  arrive("many-2", many);
  arrive("few", ["a"]);
  expect(begun).toEqual(["many-0", "many-1", "few"]);
  end("many-0");
  expect(begun).toEqual(["many-0", "many-1", "few", "many-2"]);
});

test("while there is more to read, postponed events of all apps begin in turn", async () => {
  const { clock, state, begun, arrive } = world({ maxInFlight: 1_000 });
  state.waiting = new Set(["flood", "other"]);
  for (let n = 0; n < 100; n++) arrive(`flood ${n}`, ["flood"], { pending: 1_000 });
  arrive("other", ["other"], { pending: 1_000 });
  await clock.advance(5);
  expect(begun).toContain("other");
  expect(begun.length).toBeLessThan(20);
});

test("when no message comes any more, postponed events begin as if all were read", async () => {
  const { clock, state, begun, arrive } = world({ maxInFlight: 1_000 });
  state.waiting = new Set(["flood"]);
  for (let n = 0; n < 500; n++) arrive(`flood ${n}`, ["flood"], { pending: 1_000 });
  await clock.advance(50);
  expect(begun.length).toBeLessThan(100);
  await clock.advance(150);
  expect(begun).toHaveLength(500);
});

test("when an app becomes ordered, all that are postponed begin within moments, whatever they wait for", async () => {
  const { clock, state, begun, readAhead, arrive } = world({ maxInFlight: 1_000 });
  state.waiting = new Set(["slow", "acme"]);
  state.crowded = new Set(["slow", "acme"]);
  for (let n = 0; n < 300; n++) arrive(`${n}`, n % 2 === 0 ? ["slow"] : ["slow", "acme"], { pending: 1_000 });
  await clock.advance(20);
  expect(begun).toEqual([]);
  readAhead.beginPostponed();
  arrive("later", ["slow"], { pending: 1_000 });
  await clock.advance(100);
  expect(begun).toEqual(Array.from({ length: 300 }, (_, n) => `${n}`));
});
