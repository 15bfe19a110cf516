/** Where an event and its deliveries are, for those who ask what became of them. Times are milliseconds since the epoch. */
import type { DeadLetterReason, Delivery } from "./delivery.ts";
import type { Event } from "./event.ts";

/** A message of one of the lanes that a delivery can be stored in. */
export interface LanePlace {
  readonly lane: "retries" | "parked" | "dead-letters";
  readonly sequence: number;
}

/** What Redis remembers of a delivery. */
export interface DeliveryTrail {
  /** Its first run was. */
  readonly delivered: boolean;
  /** Where it was stored last; the message is gone when something became of it since. */
  readonly place: LanePlace | null;
  /** The event's place in the EVENTS stream; null when it was never there. */
  readonly eventSequence: number | null;
  readonly app: string;
  readonly installationUuid: string;
}

interface Located {
  readonly sequence: number;
  readonly storedAt: number;
  readonly delivery: Delivery;
}

/** A delivery's message, found in a lane. */
export type LocatedDelivery =
  | (Located & { readonly lane: "retries"; readonly dueAt: number; readonly rungS: number })
  | (Located & { readonly lane: "parked"; readonly queue: string; readonly ofInstallation: boolean })
  | (Located & { readonly lane: "dead-letters"; readonly reason: DeadLetterReason; readonly error: string | null });

/** What rests of a handled event as a whole: parts of a large fan-out that are not dealt out yet, or a dead letter. */
export type RestOfEvent =
  | { readonly kind: "parts" }
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
