import { beforeEach, describe, expect, test } from "vitest";
import { createSubjects } from "../../../src/jetstream/subjects.ts";
import type { App } from "../../../src/model/app.ts";
import type { OrderRecord } from "../../../src/subscribers/ordered/order-records.ts";
import type { OrderedApp } from "../../../src/subscribers/ordered/ordered-app.ts";
import { createOwnedApps, type OwnedApps } from "../../../src/subscribers/ordered/owned-apps.ts";
import { anApp } from "../../support/builders.ts";
import { createManualClock, type ManualClock } from "../../support/manual-clock.ts";
import { silentLogger } from "../../support/silent-logger.ts";

let clock: ManualClock;
let isOrdered: boolean;
/** Another app. */
let other: App[];
let isInTerm: boolean;
let records: Map<string, OrderRecord>;
let lastEvent: number;
/** Up to which event the replicas are done. */
let ackFloor: number;
let readTo: number;
let inFlight: number;
/** Events that the app holds. */
let held: number[];
/** The server answers after it. */
let answered: Promise<void>;
let calls: string[];
let owned: OwnedApps;

const anOrderedApp = (): OrderedApp => {
  let isStopped = false;
  return {
    prepare: async () => void calls.push("prepared"),
    giveBack(leftUpTo: number) {
      if (!isStopped && held.some((sequence) => sequence <= leftUpTo)) return false;
      if (!isStopped) calls.push("stopped");
      isStopped = true;
      return inFlight === 0;
    },
    stop() {
      isStopped = true;
    },
    isStopped: () => isStopped,
  } as unknown as OrderedApp;
};

const allApps = (): App[] => [anApp({ orderBy: isOrdered ? "app" : "none" }), ...other];

beforeEach(() => {
  clock = createManualClock();
  [isOrdered, isInTerm, records, lastEvent, ackFloor, readTo, inFlight, calls, held, other] = [
    true,
    true,
    new Map(),
    10,
    10,
    0,
    0,
    [],
    [],
    [],
  ];
  answered = Promise.resolve();
  owned = createOwnedApps({
    orderRecords: {
      observe() {},
      forgetRevisions() {},
      get: (app) => records.get(app),
      apps: () => records.keys(),
      areLeft: () => false,
      put: async (app, record) => void records.set(app, record),
      remove: async (app) => void records.delete(app),
    },
    registry: { app: (slug) => allApps().find((app) => app.slug === slug), apps: allApps },
    manager: {
      streams: {
        async info() {
          await answered;
          return { state: { last_seq: lastEvent } };
        },
      },
      consumers: {
        info: async () => ({ ack_floor: { stream_seq: ackFloor }, num_pending: 1, num_ack_pending: 0 }),
        delete: async () => void calls.push("queue's consumer deleted"),
      },
    } as never,
    names: createSubjects("t"),
    clock,
    monotonicNow: clock.now,
    logger: silentLogger,
    isInTerm: () => isInTerm,
    createApp: anOrderedApp,
    startReader: async (from) => void calls.push(`reads from ${from}`),
    readTo: () => readTo,
  });
});

describe("an app that becomes ordered", () => {
  test("is taken from the next event on, and starts when replicas are done with the events before", async () => {
    ackFloor = 7;
    await owned.reconcile();
    await clock.advance(2_000);
    expect([records.get("acme"), calls]).toEqual([{ from: 11, state: "taking" }, ["reads from 11"]]);
    ackFloor = 10;
    await clock.advance(300);
    expect(calls).toEqual(["reads from 11", "queue's consumer deleted", "prepared"]);
  });

  test("does not wait for ever for what a replica has in hand", async () => {
    ackFloor = 7;
    await owned.reconcile();
    await clock.advance(45_000);
    expect(calls).toContain("prepared");
  });

  test("is left alone once it was given back, though replicas are not done yet", async () => {
    [ackFloor, readTo] = [7, 10];
    await owned.reconcile();
    isOrdered = false;
    await owned.reconcile();
    await clock.advance(21_000);
    await owned.reconcile();
    expect(owned.has("acme")).toBe(false);
    await clock.advance(45_000);
    expect(calls).toEqual(["reads from 11", "stopped"]);
  });

  test("is left alone once the term is over", async () => {
    ackFloor = 7;
    await owned.reconcile();
    isInTerm = false;
    await clock.advance(45_000);
    expect(calls).toEqual(["reads from 11"]);
  });

  test("is continued from where the last owner took it", async () => {
    records.set("acme", { from: 4, state: "taking" });
    owned.resume();
    expect([owned.from("acme"), owned.earliest()]).toEqual([4, 4]);
    await owned.reconcile();
    await clock.advance(300);
    expect(calls).toEqual(["reads from 4", "queue's consumer deleted", "prepared"]);
  });
});

describe("an app that is not ordered any more", () => {
  beforeEach(async () => {
    await owned.reconcile();
    await clock.advance(300);
    isOrdered = false;
    calls = [];
    await owned.reconcile();
  });

  test("is given back after 20 s, when everything is read and nothing is in flight", async () => {
    expect(records.get("acme")?.state).toBe("ending");
    inFlight = 1;
    readTo = 9;
    await clock.advance(21_000);
    await owned.reconcile();
    expect(calls).toEqual([]);
    readTo = 10;
    await owned.reconcile();
    expect([calls, owned.has("acme")]).toEqual([["stopped"], true]);
    inFlight = 0;
    await owned.reconcile();
    expect([owned.has("acme"), records.size, owned.earliest()]).toEqual([false, 0, null]);
  });

  test("is given back once nothing is held that replicas may have left, however much comes after that", async () => {
    await clock.advance(21_000);
    await owned.reconcile();
    [lastEvent, readTo, held] = [30, 30, [10, 30]];
    await owned.reconcile();
    expect([calls, owned.has("acme")]).toEqual([[], true]);
    held = [30];
    await owned.reconcile();
    expect([calls, owned.has("acme"), records.size]).toEqual([["stopped"], false, 0]);
  });

  describe.each(["the owner stops", "the term is over"])("when %s while the server is asked", (what) => {
    const during = async (work: Promise<void>, answer: () => void): Promise<void> => {
      if (what === "the owner stops") owned.stop();
      else isInTerm = false;
      answer();
      await work;
    };
    const ask = (): (() => void) => {
      const answer = Promise.withResolvers<void>();
      answered = answer.promise;
      return answer.resolve;
    };

    test("is not given back", async () => {
      readTo = 10;
      await clock.advance(21_000);
      const answer = ask();
      await during(owned.reconcile(), answer);
      await owned.reconcile();
      expect([owned.has("acme"), records.get("acme")?.state]).toEqual([true, "ending"]);
    });

    test("ends no app that is ordered", async () => {
      other = [anApp({ slug: "other", orderBy: "app" })];
      await owned.reconcile();
      await clock.advance(21_000);
      const answer = ask();
      await during(owned.reconcile(), answer);
      await owned.reconcile();
      expect(records.get("other")?.state).toBe("taking");
    });
  });

  test("and is ordered again while the last attempts are in flight, is taken again after them", async () => {
    inFlight = 1;
    readTo = 10;
    await clock.advance(21_000);
    await owned.reconcile();
    isOrdered = true;
    lastEvent = 30;
    readTo = 30;
    await owned.reconcile();
    expect([calls, records.get("acme")?.state]).toEqual([["stopped"], "ending"]);
    inFlight = 0;
    await owned.reconcile();
    await owned.reconcile();
    ackFloor = 30;
    await clock.advance(300);
    expect([calls.at(-1), records.get("acme")]).toEqual(["prepared", { from: 31, state: "taking" }]);
  });

  test("and is ordered again before that stays, and the next owner has every event that was taken", async () => {
    isOrdered = true;
    lastEvent = 30;
    await owned.reconcile();
    expect([records.get("acme"), owned.has("acme"), calls]).toEqual([{ from: 11, state: "taking" }, true, []]);
  });
});
