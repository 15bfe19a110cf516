import { beforeEach, expect, test } from "vitest";
import type { BlockedBy } from "../../../src/model/delivery-message.ts";
import { STOPS } from "../../../src/model/key-stop.ts";
import type { EntryStore } from "../../../src/subscribers/ordered/entry-store.ts";
import { createExpireEntries } from "../../../src/subscribers/ordered/expire-entries.ts";
import { createOrderIndex, type OrderIndex } from "../../../src/subscribers/ordered/order-index.ts";
import { aDelivery } from "../../support/builders.ts";
import { createManualClock, type ManualClock } from "../../support/manual-clock.ts";

const MAX_AGE_MS = 5_000;

let clock: ManualClock;
let index: OrderIndex;
let ended: string[];
let done: Set<string>;
let paused: Set<string>;
let isRunning: boolean;
let expire: (maxAgeMs: number) => Promise<number>;

beforeEach(() => {
  clock = createManualClock();
  [ended, done, paused, isRunning] = [[], new Set(), new Set(["i"]), true];
  index = createOrderIndex({ remove: async () => {}, monotonicNow: clock.now, onMerged: () => {} }, "app");
  const entryStore: Pick<EntryStore, "alone" | "apply" | "giveUp" | "skip" | "stopKey"> = {
    alone: (_entry, work) => work(),
    apply: async (_entry, { kind, delivery, ...why }) => ended.push(`${delivery.id} ${kind} ${"reason" in why ? why.reason : ""}`),
    giveUp: async (entry) => index.leave(entry),
    skip: async (_entry, { id }) => void ended.push(`${id} skipped`),
    stopKey: async (_entry, { id }) => void ended.push(`${id} stopped`),
  };
  expire = createExpireEntries({
    ...{ app: "acme", index, clock, entryStore: entryStore as EntryStore },
    backlog: { read: async function* () {}, at: async () => null, queuesOf: async () => new Map(), remove: async () => {} },
    skipDelivered: async ({ id }) => done.has(id),
    isFlowing: ({ installationUuid }) => !paused.has(installationUuid ?? ""),
    isRunning: () => isRunning,
  });
});

/** One more of the key. */
function stored(id: string, { installationUuid = "i", ageMs = 6_000, blockedBy = undefined as BlockedBy | undefined } = {}): void {
  const sequence = Number(id);
  const delivery = aDelivery({ id, installationUuid, eventSequence: sequence, firstParkedAt: clock.now() - ageMs });
  const message = { subject: "", consumer: "", sequence, deliveries: 0, header: () => undefined };
  index.found({ delivery, message, source: { stream: "PARKED", sequence }, storedAt: 0, dueAt: null, blockedBy }, blockedBy ? STOPS : null);
}

test("gives up what has waited too long behind a stop while its installation is paused, and nothing else", async () => {
  stored("1", { blockedBy: { deadLetter: 1, orderBy: "app", since: 0 } });
  stored("2");
  stored("3", { installationUuid: "active" });
  stored("4", { ageMs: 4_000 });
  stored("5");
  expect(await expire(MAX_AGE_MS)).toBe(2);
  expect(ended).toEqual(["2 dead-letter expired", "5 dead-letter expired"]);
  paused.clear();
  await clock.advance(10_000);
  expect(await expire(MAX_AGE_MS)).toBe(0);
});

test("leaves alone what has started, is being stored, or is in no owner's hands", async () => {
  stored("1");
  stored("2");
  const started = index.start(clock.now());
  const [waiting] = [...index.waiting()];
  Object.assign(waiting ?? {}, { isBeingStored: true });
  expect([await expire(MAX_AGE_MS), started?.delivery?.id]).toEqual([0, "1"]);
  Object.assign(waiting ?? {}, { isBeingStored: false });
  isRunning = false;
  expect([await expire(MAX_AGE_MS), ended]).toEqual([0, []]);
  isRunning = true;
  expect(await expire(MAX_AGE_MS)).toBe(1);
});

test("does not give up twice what was done before, or what has yet to stop its key", async () => {
  stored("1");
  stored("2");
  done.add("1");
  const refused = [...index.waiting()].find(({ mark }) => mark.startsWith("2"));
  Object.assign(refused ?? {}, { stop: { deliveryId: "2", deadLetter: 9, since: 0, orderBy: "app" } });
  expect(await expire(MAX_AGE_MS)).toBe(0);
  expect(ended).toEqual(["1 skipped", "2 stopped"]);
});
