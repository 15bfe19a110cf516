/** One event for one installation, and the reasons for giving it up. */
import type { Event } from "./event.ts";
import { deliveryId } from "./event-key.ts";
import type { AttemptSummary } from "./outcome.ts";

export interface Delivery {
  /** The same for all attempts, redeliveries and replicas. */
  readonly id: string;
  readonly event: Event;
  /** Where the event is in the EVENTS stream, so that a resend can find it; null for one that never was there. */
  readonly eventSequence: number | null;
  readonly app: string;
  readonly installationUuid: string;
  /**
   * When the app was made (model/app.ts), milliseconds since the epoch: what was meant for an app that is gone never reaches
   * another one of its slug. Null: not known.
   */
  readonly appCreatedAt: number | null;
  readonly attemptsMade: number;
  /** Oldest first, at most MAX_ATTEMPT_SUMMARIES. */
  readonly attempts: readonly AttemptSummary[];
  /** Set by a resend or replay: an id of its own that sets it apart in deduplication and marks; null for the first run. */
  readonly replay: string | null;
  /** False for test events and manual resends: logged, but not counted in health and circuit. */
  readonly counted: boolean;
  /** When it was first parked (milliseconds since the epoch), kept over re-parks; null if never. */
  readonly firstParkedAt: number | null;
  /** How often this run was stored in another stream so far: of two messages of one run the one with fewer is superseded. */
  readonly stores: number;
}

/** As many as the longest retry schedule makes. */
export const MAX_ATTEMPT_SUMMARIES = 51;
/** Characters of an error in a summary: a stream message has to hold them all. */
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
    attempts: [],
    replay: null,
    counted: true,
    firstParkedAt: null,
    stores: 0,
  };
}

/** Its event never was in the stream; it is attempted at once and once, whatever the circuit says. */
export function isTestCall({ counted, eventSequence }: Delivery): boolean {
  return !counted && eventSequence === null;
}

/** What the delivered mark is kept under: a replay is a run of its own. */
export function dedupKeyOf(delivery: Delivery): string {
  return delivery.replay === null ? delivery.id : `${delivery.id}:${delivery.replay}`;
}

/** Why a delivery (or an unreadable event) is in dead letters. */
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
