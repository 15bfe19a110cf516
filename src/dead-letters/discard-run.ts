/**
 * Discards the messages that a discard takes from a parked queue.
 *
 * DISCARD-1  A delivery that was delivered before is removed; it does not become a dead letter.
 * DISCARD-2  Deliveries are stored as dead letters, and then acknowledged, in the order of the queue.
 * DISCARD-3  A delivery that the owner of the queues is attempting is given back for a moment: the attempt decides.
 * DISCARD-4  Messages that are not to be discarded (parked after the call, or taken when the discard was no longer wanted)
 *            are given back once, at the end.
 */
import type { GiveUp } from "../delivery/give-up.ts";
import type { SkipDelivered } from "../delivery/skip-delivered.ts";
import type { ConsumedMessage } from "../jetstream/message.ts";
import { AGAIN_AFTER_MS } from "../jetstream/message-handler.ts";
import { AppError, messageOf } from "../model/app-error.ts";
import type { Clock } from "../model/clock.ts";
import type { Delivery } from "../model/delivery.ts";
import { decodeDeliveryMessage } from "../model/delivery-message.ts";
import type { Logger } from "../model/logger.ts";

export interface DiscardRun {
  take(message: ConsumedMessage): void;
  /** Gives back what was not discarded. */
  giveBack(): void;
  /** Resolves when every message taken so far has been acknowledged or given back. */
  completed(): Promise<void>;
  readonly state: Readonly<DiscardState>;
}

export interface DiscardState {
  /** Messages acknowledged. */
  completed: number;
  /** Those of them that became dead letters. */
  discarded: number;
  /** Messages to give back (DISCARD-4). */
  spare: number;
  /** When a delivery of the backlog was last taken, milliseconds since the epoch. */
  takenAt: number;
  /** The dead-letters stream's refusal to store one. */
  refusal: AppError | null;
}

export interface DiscardRunDependencies {
  readonly giveUp: GiveUp;
  readonly skipDelivered: SkipDelivered;
  readonly clock: Clock;
  readonly logger: Logger;
}

export interface DiscardRunOptions {
  readonly app: string;
  /** Whether the message was parked before the call. */
  readonly isEarlier: (message: ConsumedMessage) => boolean;
  readonly isWanted: () => boolean;
  /** Whether the message's delivery is being attempted (DISCARD-3). */
  readonly isAttempted: (sequence: number) => boolean;
  /** Called after each message that was acknowledged or given back. */
  readonly onCompleted: () => void;
}

/** `delivered`: before it was discarded. `unwanted`: the discard was stopped before its turn. */
type Ended = "discarded" | "delivered" | "unwanted";

const WHY = "discarded by a person while it was parked";
const ASK_EVERY_MS = 500;

/** The deliveries of the parked stream that the owner of the queues is attempting, by their sequences. */
export interface AttemptedElsewhere {
  has(sequence: number): boolean;
  /** Asks again, at most every half second, while there are any. */
  refresh(): Promise<void>;
}

export async function createAttemptedElsewhere(ask: () => Promise<ReadonlySet<number>>, clock: Clock): Promise<AttemptedElsewhere> {
  let attempted = await ask();
  let askedAt = clock.now();
  return {
    has: (sequence) => attempted.has(sequence),
    async refresh() {
      if (attempted.size === 0 || clock.now() - askedAt < ASK_EVERY_MS) return;
      attempted = await ask();
      askedAt = clock.now();
    },
  };
}

export function createDiscardRun({ giveUp, skipDelivered, clock, logger }: DiscardRunDependencies, options: DiscardRunOptions): DiscardRun {
  const { app, isEarlier, isWanted, isAttempted, onCompleted } = options;
  const state: DiscardState = { completed: 0, discarded: 0, spare: 0, takenAt: clock.now(), refusal: null };
  const spare: ConsumedMessage[] = [];
  // Both chains keep the order of the queue (DISCARD-2).
  let stores: Promise<unknown> = Promise.resolve();
  let completions: Promise<void> = Promise.resolve();

  const storeDeadLetter = async (message: ConsumedMessage, delivery: Delivery): Promise<void> => {
    await giveUp.delivery({ delivery, reason: "discarded", error: WHY }, message);
  };

  /** Stores the dead letter when the stores before it have begun. */
  const discard = (message: ConsumedMessage): Promise<Ended> => {
    let delivery: Delivery;
    try {
      ({ delivery } = decodeDeliveryMessage(Buffer.from(message.data).toString("utf8")));
    } catch (error) {
      return giveUp.message(message, "invalid", messageOf(error), app).then(() => "discarded");
    }
    const isDelivered = skipDelivered(delivery);
    const begun = stores.then(async (): Promise<{ readonly end: Ended; readonly stored?: Promise<void> }> => {
      if (await isDelivered) return { end: "delivered" };
      // Those before it may have taken a while.
      return isWanted() ? { end: "discarded", stored: storeDeadLetter(message, delivery) } : { end: "unwanted" };
    });
    stores = begun;
    return begun.then(async ({ end, stored }) => {
      await stored;
      return end;
    });
  };

  const complete = (message: ConsumedMessage, result: PromiseSettledResult<Ended>): void => {
    if (result.status === "fulfilled" && result.value === "unwanted") message.nak(1);
    else if (result.status === "fulfilled") {
      state.completed++;
      if (result.value === "discarded") state.discarded++;
      message.ack();
    } else {
      const reason: unknown = result.reason;
      if (reason instanceof AppError && reason.code === "STREAM_REFUSED") state.refusal ??= reason;
      const { subject, sequence } = message;
      logger.error({ subject, sequence, error: messageOf(reason) }, "parked delivery not discarded, will be retried");
      message.nak(AGAIN_AFTER_MS);
    }
    onCompleted();
  };

  return {
    take(message) {
      if (!isEarlier(message) || !isWanted()) {
        spare.push(message);
        state.spare++;
        return;
      }
      if (isAttempted(message.sequence)) return message.nak(ASK_EVERY_MS);
      state.takenAt = clock.now();
      completions = Promise.allSettled([discard(message), completions]).then(([result]) => complete(message, result));
    },
    giveBack() {
      for (const message of spare) message.nak(1);
    },
    completed: () => completions,
    state,
  };
}
