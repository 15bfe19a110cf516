/**
 * Sends what a replay has found, in the order of the stream, at the replay's rate, and only while fresh deliveries leave room.
 *
 * REPLAY-7  A dead letter is removed after its delivery is delivered or stored elsewhere.
 */
import { isLeaseOver } from "../delivery/source-lease.ts";
import { unlessTooLarge } from "../model/app-error.ts";
import type { Clock } from "../model/clock.ts";
import type { Delivery } from "../model/delivery.ts";
import { sleep } from "../model/periodic.ts";
import type { ReplayLookup, ReplayOutcome } from "../storage/replay-lookup.ts";
import type { FoundDelivery, FoundMessage } from "./find-deliveries.ts";
import { createPace } from "./pace.ts";
import type { OpenMessage, Phase, Progress } from "./progress.ts";
import type { ReplayRecord, WaitReason } from "./replay-record.ts";
import type { Send } from "./send.ts";

export interface ReplaySending {
  /** Resolves when all deliveries of the message were begun. @returns false: the replay stops here */
  send(phase: Phase, message: FoundMessage): Promise<boolean>;
  /** Resolves when what was begun has ended. @throws the first fault of a delivery that was neither delivered nor stored */
  allEnded(): Promise<void>;
  /** Null: nothing keeps it waiting. */
  waitingFor(): WaitReason | null;
}

export interface ReplaySendingDependencies {
  readonly send: Send;
  readonly removeDeadLetter: (sequence: number) => Promise<void>;
  readonly lookup: Pick<ReplayLookup, "outcomeOf">;
  readonly clock: Clock;
}

export interface ReplaySendingOptions {
  readonly replay: ReplayRecord;
  readonly progress: Progress;
  /** False: it was paused or cancelled, or another replica has it. */
  readonly isWanted: () => boolean;
  /** False: another replica has it. */
  readonly isOurs: () => boolean;
}

/** How often something that keeps the replay waiting is asked again; a slot is free sooner. */
export const ASK_MS = 100;
export const LONGEST_ASK_MS = 2_000;
const ASK_FOR_SLOT_MS = 20;
/** Deliveries that wait in parked queues because of a replay. */
const MAX_PARKED = 64;
/** Deliveries that were sent and have not ended; beyond it the replay waits unless most others end. */
const MAX_UNFINISHED = 256;
const UNFINISHED_SHARE = 0.25;

const ENDED = { ended: Promise.resolve() };

export function createReplaySending(dependencies: ReplaySendingDependencies, options: ReplaySendingOptions): ReplaySending {
  const { send, removeDeadLetter, lookup, clock } = dependencies;
  const { replay, progress, isWanted, isOurs } = options;
  const pace = createPace(clock, replay.rate_per_s);
  const recent = createRecent();
  const inFlight = new Set<Promise<void>>();
  let outcome: ReplayOutcome = { done: 0, failed: 0 };
  let outcomeReadAt = 0;
  let waitingFor: WaitReason | null = null;
  let fault: unknown = null;

  const unfinished = async (): Promise<number> => {
    const left = (): number => progress.sent() - outcome.done - outcome.failed;
    if (left() >= MAX_PARKED && clock.now() - outcomeReadAt >= ASK_MS) {
      outcome = await lookup.outcomeOf(replay.app, replay.id);
      outcomeReadAt = clock.now();
    }
    return left();
  };

  /** Waits until the delivery may be sent. @returns null: the replay stops here; `ended` is null for one without a recipient */
  const start = async (delivery: Delivery, isKept: boolean): Promise<{ readonly ended: Promise<void> | null } | null> => {
    const source = { stream: replay.id, sequence: 0, isOurs, isKept };
    for (let askMs = ASK_MS; isWanted() && fault === null; askMs = Math.min(askMs * 2, LONGEST_ASK_MS)) {
      const left = await unfinished();
      const isTooMany = left > MAX_UNFINISHED && left > progress.sent() * UNFINISHED_SHARE;
      const started = isTooMany ? ({ kind: "wait", why: "retries" } as const) : send(delivery, source, left < MAX_PARKED);
      if (started.kind !== "wait") {
        waitingFor = null;
        return { ended: started.kind === "started" ? started.ended : null };
      }
      waitingFor = started.why;
      // The end of an attempt of its own frees a slot.
      if (started.why === "capacity") await Promise.race([sleep(clock, ASK_FOR_SLOT_MS), ...inFlight]);
      else await sleep(clock, askMs);
    }
    return null;
  };

  const remove = async ({ deadLetter }: FoundDelivery): Promise<void> => {
    if (deadLetter !== null) await removeDeadLetter(deadLetter);
  };

  /** @returns null: the replay stops here */
  const sendOne = async (message: OpenMessage, found: FoundDelivery): Promise<{ readonly ended: Promise<unknown> } | null> => {
    const { delivery, kind, isSent } = found;
    // Two messages of one event, or two dead letters of one delivery: it is sent once.
    if (delivery !== null && !recent.add(delivery.id)) return ENDED;
    if (delivery === null || replay.dry_run || isSent) {
      message.found(kind);
      if (delivery === null) message.skipped();
      else if (!replay.dry_run) message.sent();
      return isSent && !replay.dry_run ? { ended: remove(found) } : ENDED;
    }
    await pace();
    const started = await start(delivery, found.deadLetter !== null);
    if (started === null) return null;
    message.found(kind);
    if (started.ended === null) {
      message.skipped();
      return ENDED;
    }
    message.sent();
    // A dead letter that is too large to be stored elsewhere stays.
    return { ended: unlessTooLarge(started.ended).then((isStored) => (isStored ? remove(found) : undefined)) };
  };

  return {
    async send(phase, { sequence, deliveries }) {
      const message = progress.begin(phase, sequence);
      const ends: Array<Promise<unknown>> = [];
      for (const found of deliveries) {
        const begun = await sendOne(message, found);
        if (begun === null) break;
        begun.ended.catch(() => {});
        ends.push(begun.ended);
      }
      const isWhole = ends.length === deliveries.length;
      const ended = Promise.all(ends).then(
        () => {
          if (isWhole) message.end();
        },
        (error: unknown) => {
          if (!isLeaseOver(error)) fault ??= error;
        },
      );
      inFlight.add(ended);
      void ended.finally(() => inFlight.delete(ended));
      return isWhole;
    },

    async allEnded() {
      await Promise.all(inFlight);
      if (fault !== null) throw fault;
    },

    waitingFor: () => waitingFor,
  };
}

/** Deliveries that are remembered at least; dedup records are written within milliseconds. */
const MIN_RECENT = 5_000;

/** The ids of the last deliveries. `add` returns false for one of them. */
function createRecent(): { add(id: string): boolean } {
  let older = new Set<string>();
  let newer = new Set<string>();
  return {
    add(id) {
      if (newer.has(id) || older.has(id)) return false;
      if (newer.size >= MIN_RECENT) {
        older = newer;
        newer = new Set();
      }
      newer.add(id);
      return true;
    },
  };
}
