/** Where an event and its deliveries are, and what happened to them. Times are milliseconds since the epoch. */
import type { DeadLetterReason, Delivery } from "./delivery.ts";
import type { Event } from "./event.ts";

/** The streams that a delivery can be stored in. */
export const DELIVERY_STREAMS = ["retries", "parked", "dead-letters"] as const;

/** A delivery's message in one of them. */
export interface StreamLocation {
  readonly stream: (typeof DELIVERY_STREAMS)[number];
  readonly sequence: number;
}

/** The event and installation of a delivery. */
export interface NotedDelivery {
  /** The event's sequence in the EVENTS stream; null: it was never in it. */
  readonly eventSequence: number | null;
  readonly app: string;
  readonly installationUuid: string;
}

/** A delivery of one of the events that have an id. */
export interface NotedAddressee extends NotedDelivery {
  readonly deliveryId: string;
}

/** A message that was skipped because its delivery had been delivered before, or waited already. Sequences refer to the EVENTS stream. */
export interface NotedSkip {
  readonly eventSequence: number;
  /** Sequence of the message that it was delivered for; equal to eventSequence if the same message was handled again. */
  readonly deliveredSequence: number | null;
  /** The delivery waited for its turn then. */
  readonly wasWaiting: boolean;
  readonly at: number;
}

/** The last attempt of a run of a delivery. */
export interface LastAttempt {
  readonly attempt: number;
  readonly endedAt: number;
  /** 0: no complete response. */
  readonly responseCode: number;
  /** Empty: none. */
  readonly traceparent: string;
}

/** The first run of a delivery, or a resend or replay. */
export interface RunHistory {
  /** Null: the first run. */
  readonly replay: string | null;
  readonly delivered: boolean;
  /** Null: not known. */
  readonly last: LastAttempt | null;
}

/** The history of a delivery, from Redis. */
export interface DeliveryHistory extends NotedDelivery {
  /** Runs with an attempt: the first, and the last resend or replay. */
  readonly runs: readonly RunHistory[];
  /** Where it was stored last. The message is gone if the delivery was handled since. */
  readonly location: StreamLocation | null;
  /** In stream order. */
  readonly skips: readonly NotedSkip[];
}

interface Located {
  readonly sequence: number;
  readonly storedAt: number;
  readonly delivery: Delivery;
}

/** A delivery's message, found in a stream. */
export type LocatedDelivery =
  | (Located & { readonly stream: "retries"; readonly dueAt: number; readonly tierS: number })
  | (Located & { readonly stream: "parked"; readonly dueAt: number | null; readonly queue: string; readonly ofInstallation: boolean })
  | (Located & { readonly stream: "dead-letters"; readonly reason: DeadLetterReason; readonly error: string | null });

/** The rest of a handled event that is still stored as a whole: fan-out batches that are not delivered yet, or a dead letter. */
export type RemainingEvent =
  | { readonly kind: "batches" }
  | { readonly kind: "dead-letter"; readonly sequence: number; readonly storedAt: number; readonly reason: string; readonly error: string };

/** An event's message in the EVENTS stream. */
export interface StoredEvent {
  readonly stream: string;
  readonly sequence: number;
  readonly storedAt: number;
  /** Null: it can't be read, and `problem` says why. */
  readonly event: Event | null;
  readonly problem: string | null;
  /** `waiting`: no replica has it yet; `taken`: one has it, or it was acknowledged before earlier messages; `handled`. */
  readonly stage: "waiting" | "taken" | "handled";
}
