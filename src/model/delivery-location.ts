/** Where an event and its deliveries are, for those who ask what became of them. Times are milliseconds since the epoch. */
import type { DeadLetterReason, Delivery } from "./delivery.ts";
import type { Event } from "./event.ts";

/** The streams that a delivery can be stored in. */
export const DELIVERY_STREAMS = ["retries", "parked", "dead-letters"] as const;

/** A delivery's message in one of them. */
export interface StreamLocation {
  readonly stream: (typeof DELIVERY_STREAMS)[number];
  readonly sequence: number;
}

/** Whose delivery it is, and of which event. */
export interface NotedDelivery {
  /** The event's place in the EVENTS stream; null when it was never there. */
  readonly eventSequence: number | null;
  readonly app: string;
  readonly installationUuid: string;
}

/** A delivery of one of the events that have an id. */
export interface NotedAddressee extends NotedDelivery {
  readonly deliveryId: string;
}

/** A message that was skipped because its delivery had been delivered before. Sequences are of the EVENTS stream. */
export interface NotedSkip {
  readonly eventSequence: number;
  /** Of the message that it was delivered for; the same one when that was handled again. */
  readonly deliveredSequence: number | null;
  readonly at: number;
}

/** The latest attempt of a run of a delivery, or the one that delivered it. */
export interface LastAttempt {
  readonly attempt: number;
  readonly endedAt: number;
  /** 0: no (complete) response. */
  readonly responseCode: number;
  /** Empty: it had none. */
  readonly traceparent: string;
}

/** The first run of a delivery, or a resend or replay. */
export interface RunHistory {
  /** Null: the first. */
  readonly replay: string | null;
  readonly delivered: boolean;
  /** Null: not known. */
  readonly last: LastAttempt | null;
}

/** What Redis remembers of a delivery. */
export interface DeliveryHistory extends NotedDelivery {
  /** Runs that an attempt was made of: the first, and the resend or replay that was stored last. */
  readonly runs: readonly RunHistory[];
  /** Where it was stored last; the message is gone when something became of it since. */
  readonly place: StreamLocation | null;
  /** In the order of the stream. */
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

/** What is still stored of a handled event as a whole: fan-out batches that are not delivered yet, or a dead letter. */
export type RemainingEvent =
  | { readonly kind: "batches" }
  | { readonly kind: "dead-letter"; readonly sequence: number; readonly storedAt: number; readonly reason: string; readonly error: string };

/** An event's message in the EVENTS stream. */
export interface StoredEvent {
  readonly stream: string;
  readonly sequence: number;
  readonly storedAt: number;
  /** Null: it can't be read, `problem` says why. */
  readonly event: Event | null;
  readonly problem: string | null;
  /** `waiting`: no replica has it yet; `taken`: one has it, or it was acknowledged before its neighbours; `handled`. */
  readonly stage: "waiting" | "taken" | "handled";
}
