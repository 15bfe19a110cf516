/** A delivery: one event for one installation. And the reasons for giving it up. */
import type { Event } from "./event.ts";
import { deliveryId } from "./event-key.ts";
import type { AttemptSummary, RetryKind } from "./outcome.ts";

export interface Delivery {
  /** The same for all attempts, redeliveries and replicas. */
  readonly id: string;
  readonly event: Event;
  /** Sequence of the event in the EVENTS stream, for resends; null: it was never in it. */
  readonly eventSequence: number | null;
  readonly app: string;
  readonly installationUuid: string;
  /**
   * When the app was created (model/app.ts), milliseconds since the epoch: a delivery for a deleted app must not reach another app
   * with the same slug. Null: not known.
   */
  readonly appCreatedAt: number | null;
  readonly attemptsMade: number;
  /** Attempts of each kind that used up a part of its schedule: not those of an open circuit's probes that the endpoint refused. */
  readonly spent: SpentAttempts;
  /** Oldest first, at most MAX_ATTEMPT_SUMMARIES. */
  readonly attempts: readonly AttemptSummary[];
  /** Id of a resend or replay, which is part of the dedup key; null for the first run. */
  readonly replay: string | null;
  /** False for test calls and manual resends: logged, but not counted by health rule and circuit. */
  readonly counted: boolean;
  /** When it was first parked (milliseconds since the epoch), kept over re-parks; null if never. */
  readonly firstParkedAt: number | null;
  /** How often this run was stored in another stream so far: of two messages of one run the one with fewer is superseded. */
  readonly stores: number;
}

export type SpentAttempts = Readonly<Record<RetryKind, number>>;

export const NOTHING_SPENT: SpentAttempts = { failure: 0, refusal: 0, own_fault: 0 };

/** The number of attempts of the longest retry schedule. */
export const MAX_ATTEMPT_SUMMARIES = 51;
/** Characters of an error in a summary: one stream message holds all summaries. */
export const MAX_SUMMARY_ERROR = 256;

export function newDelivery(
  event: Event,
  app: string,
  installationUuid: string,
  eventSequence: number | null,
  appCreatedAt: number | null = null,
): Delivery {
  return {
    id: deliveryId(event, installationUuid),
    event,
    eventSequence,
    app,
    installationUuid,
    appCreatedAt,
    attemptsMade: 0,
    spent: NOTHING_SPENT,
    attempts: [],
    replay: null,
    counted: true,
    firstParkedAt: null,
    stores: 0,
  };
}

/** A test call's event was never in the stream. It is attempted once, at once, whatever the circuit's state. */
export function isTestCall({ counted, eventSequence }: Delivery): boolean {
  return !counted && eventSequence === null;
}

/** The dedup key: each replay is a run of its own. */
export function dedupKeyOf(delivery: Delivery): string {
  return delivery.replay === null ? delivery.id : `${delivery.id}:${delivery.replay}`;
}

/** Why a delivery or an unreadable event is in dead letters. */
export const DEAD_LETTER_REASONS = [
  "exhausted",
  "rejected",
  "gone",
  "blocked",
  "uninstalled",
  "expired",
  "overflow",
  "redelivered",
  "discarded",
  "invalid",
] as const;

export type DeadLetterReason = (typeof DEAD_LETTER_REASONS)[number];
