import { beforeEach, describe, expect, test } from "vitest";
import { LeaseOver } from "../../../src/delivery/source-lease.ts";
import { STOPS } from "../../../src/model/key-stop.ts";
import type { AttemptParked } from "../../../src/subscribers/parked/attempt-parked.ts";
import type { ParkedDelivery } from "../../../src/subscribers/parked/backlog.ts";
import { createFence, type Fence } from "../../../src/subscribers/parked/fence.ts";
import { createInstallationQueues, type InstallationQueues } from "../../../src/subscribers/parked/installation-queues.ts";
import { aDelivery } from "../../support/builders.ts";
import { createManualClock, type ManualClock } from "../../support/manual-clock.ts";
import { silentLogger } from "../../support/silent-logger.ts";

const ATTEMPT_MS = 10;
const queueOf = (installationUuid: string) => ({ app: "acme", installationUuid });

let clock: ManualClock;
let fence: Fence | null;
/** The stream: sequence → the queue's installation. */
let stored: Map<number, string>;
let tokens: Map<number, string>;
let started: number[];
let [inFlight, most] = [0, 0];
let endOf: (sequence: number) => Awaited<ReturnType<AttemptParked>>;
let applied: string[];
let removeMs: number;
let queues: InstallationQueues;

beforeEach(() => {
  clock = createManualClock();
  [fence, stored, tokens, started, applied] = [createFence(2, 100), new Map(), new Map(), [], []];
  [inFlight, most, removeMs] = [0, 0, 0];
  endOf = () => "done";
  queues = createInstallationQueues({
    backlog: {
      async *read({ installationUuid }) {
        // A Map is iterated with what is added meanwhile.
        for (const [sequence, uuid] of stored) if (uuid === installationUuid) yield parkedAt(sequence);
      },
      async remove({ source }) {
        await new Promise<void>((resolve) => clock.after(removeMs, resolve));
        stored.delete(source.sequence);
      },
    },
    async attemptParked({ source }, { isWanted }) {
      if (!isWanted()) throw new LeaseOver(source);
      started.push(source.sequence);
      most = Math.max(most, ++inFlight);
      await new Promise<void>((resolve) => clock.after(ATTEMPT_MS, resolve));
      inFlight--;
      if (!isWanted()) throw new LeaseOver(source);
      return endOf(source.sequence);
    },
    dispatcher: {
      apply: async ({ kind }) => {
        applied.push(kind);
        return null;
      },
      park: async () => void applied.push("park"),
    },
    tracing: {
      process: (_event, _stream, _message, work) => work({} as never),
      deliver: (_parent, _delivery, work) => work({} as never),
    },
    poisonLimit: { attempt: () => null },
    clock,
    logger: silentLogger,
    fenceNow: () => fence,
    isFlowing: () => true,
    stateOf: () => undefined,
    countOf: ({ installationUuid }) => [...stored.values()].filter((uuid) => uuid === installationUuid).length,
    limitOf: () => 4,
  });
});

const parkedAt = (sequence: number): ParkedDelivery => ({
  delivery: aDelivery({ id: `d-${sequence}` }),
  dueAt: null,
  blockedBy: stored.get(sequence) === STOPS ? { deadLetter: 1, orderBy: null, since: null } : undefined,
  storedAt: 0,
  source: { stream: "PARKED", sequence },
  message: { subject: "", consumer: "", sequence, deliveries: 0, header: () => tokens.get(sequence) },
});

test("what stopped the keys of an app is removed, and not attempted, once the app has no order", async () => {
  stored.set(1, STOPS);
  queues.drain([queueOf(STOPS)]);
  await clock.advance(1_000);
  expect([started, applied, stored.size]).toEqual([[], [], 0]);
});

describe("queues of installations", () => {
  test("are emptied side by side, each in stored order, with no more attempts at once than the app may have", async () => {
    for (let sequence = 1; sequence <= 30; sequence++) stored.set(sequence, `i-${sequence % 3}`);
    queues.drain([0, 1, 2].map((n) => queueOf(`i-${n}`)));
    await clock.advance(1_000);
    expect([stored.size, most, queues.held()]).toEqual([0, 4, 0]);
    for (const n of [0, 1, 2]) {
      const ofQueue = started.filter((sequence) => sequence % 3 === n);
      expect(ofQueue).toEqual(ofQueue.toSorted((a, b) => a - b));
    }
  });

  test("leave the app's places before what is done is removed", async () => {
    removeMs = 10_000;
    for (let sequence = 1; sequence <= 8; sequence++) stored.set(sequence, "i");
    queues.drain([queueOf("i")]);
    await clock.advance(5 * ATTEMPT_MS);
    expect([started.length, stored.size, most]).toEqual([8, 8, 4]);
    await clock.advance(removeMs);
    expect([stored.size, queues.held()]).toEqual([0, 0]);
  });

  test("wait where they are while the circuit is open, and continue with the next look", async () => {
    for (let sequence = 1; sequence <= 20; sequence++) stored.set(sequence, "i");
    endOf = () => "wait";
    queues.drain([queueOf("i")]);
    await clock.advance(1_000);
    expect([stored.size, started.length]).toEqual([20, 5]);
    endOf = () => "done";
    queues.drain([queueOf("i")]);
    await clock.advance(1_000);
    expect(stored.size).toBe(0);
  });

  test("lose a delivery that asks for more to where it belongs", async () => {
    stored.set(1, "i");
    const delivery = aDelivery({ id: "d-1" });
    endOf = () => ({ kind: "dead-letter", delivery, record: null, reason: "exhausted", error: null });
    queues.drain([queueOf("i")]);
    await clock.advance(100);
    expect([applied, stored.size]).toEqual([["dead-letter"], 0]);
  });

  test("keep what was being attempted when the lease ended, and start nothing else", async () => {
    for (let sequence = 1; sequence <= 20; sequence++) stored.set(sequence, "i");
    queues.drain([queueOf("i")]);
    await clock.advance(ATTEMPT_MS / 2);
    fence = null;
    await clock.advance(1_000);
    expect([started.length, stored.size, queues.held()]).toEqual([4, 20, 0]);
  });

  test("get rid of what an earlier owner stored too late, unread", async () => {
    stored.set(101, "i");
    stored.set(102, "i");
    tokens.set(101, "1");
    queues.drain([queueOf("i")]);
    await clock.advance(100);
    expect([started, stored.size]).toEqual([[102], 0]);
  });
});
