/** The one way from a parked delivery to its attempt, for all who take one from a queue. */

import type { Admission, ParkedBecause } from "../../delivery/admission.ts";
import type { Attempt } from "../../delivery/attempt.ts";
import type { Dispatcher } from "../../delivery/dispatcher.ts";
import { type DeadLetterDisposition, expiredAfter, givenUp, type RetryDisposition, uninstalled } from "../../delivery/disposition.ts";
import type { InFlight } from "../../delivery/in-flight.ts";
import type { Bulkhead } from "../../delivery/limits/bulkhead.ts";
import type { DestinationOf } from "../../delivery/limits/destination.ts";
import type { HandledMessage, HandOut, MessageRef, ParkedQueue, StreamName } from "../../delivery/ports.ts";
import type { SkipDelivered } from "../../delivery/skip-delivered.ts";
import { requireLease } from "../../delivery/source-lease.ts";
import type { Turns } from "../../delivery/throttle/turns.ts";
import type { TracePosition, Tracing } from "../../delivery/tracing-ports.ts";
import type { Clock } from "../../model/clock.ts";
import type { Delivery } from "../../model/delivery.ts";

export interface AttemptParkedDependencies {
  readonly admission: Admission;
  /** Whether the app's circuit keeps attempts from starting now (delivery/circuit/circuit-breakers.ts blocks). */
  readonly circuitOpen: (app: string) => boolean;
  readonly turns: Pick<Turns, "take" | "limitOf">;
  readonly bulkhead: Bulkhead;
  readonly destinationOf: DestinationOf;
  readonly attempt: Attempt;
  readonly inFlight: InFlight;
  readonly skipDelivered: SkipDelivered;
  readonly tracing: Tracing;
  readonly clock: Clock;
  readonly maxParkedAgeMs: number;
}

export interface WaitingDelivery {
  readonly delivery: Delivery;
  readonly source: MessageRef;
  readonly message: HandledMessage;
  /** Where it was taken from; `parked` when not given. */
  readonly stream?: StreamName;
}

/** Its installation's deliveries wait in a queue of their own. */
export interface ParkElsewhere {
  readonly kind: "park";
  readonly queue: ParkedQueue;
  readonly why: ParkedBecause;
}

/**
 * `done`: it was delivered. `skipped`: it was done before. `wait`: the circuit is open, or the registry is not current. `stopped`: its
 * queue may not flow. `closed`: the process stops. `unwanted`: nobody wants the attempt any more. Any other value says where it goes next.
 */
export type ParkedEnd =
  | "done"
  | "skipped"
  | "wait"
  | "stopped"
  | "closed"
  | "unwanted"
  | ParkElsewhere
  | RetryDisposition
  | DeadLetterDisposition;

export interface AttemptParkedOptions {
  readonly queue: ParkedQueue;
  /** In the bulkhead. */
  readonly share: string;
  /** It may have been delivered or stored elsewhere before. */
  readonly mayBeDone: boolean;
  /** Asked after every wait. */
  readonly isWanted: () => boolean;
  /** Absent: its consumer counts redeliveries, or it is not a suspect. */
  readonly handOut?: HandOut | null;
}

/** @throws LeaseOver, AppError STREAM_REFUSED */
export type AttemptParked = (waiting: WaitingDelivery, options: AttemptParkedOptions) => Promise<ParkedEnd>;

/** Not due yet: it waited for its retry in an ordered queue, and may have been asked for that time by its receiver. Null: it is due. */
export function waitsUntil(dueAt: number | null, delivery: Delivery, nowMs: number): RetryDisposition | null {
  if (dueAt === null || dueAt <= nowMs) return null;
  return { kind: "retry", delivery, record: null, delay: { dueAt, delayMs: dueAt - nowMs, notBefore: true } };
}

function traced<T>(
  tracing: Pick<Tracing, "process" | "deliver">,
  { message, delivery, stream = "parked" }: WaitingDelivery,
  work: (span: TracePosition) => Promise<T>,
): Promise<T> {
  return tracing.process(delivery.event, stream, message, (span) => tracing.deliver(span, delivery, work));
}

export interface StoreEndDependencies {
  readonly dispatcher: Pick<Dispatcher, "apply" | "park">;
  readonly tracing: Pick<Tracing, "process" | "deliver">;
}

/** Stores what is not done where it belongs. */
export async function storeEnd(
  { dispatcher, tracing }: StoreEndDependencies,
  waiting: WaitingDelivery,
  end: ParkElsewhere | RetryDisposition | DeadLetterDisposition,
): Promise<void> {
  const { delivery, source } = waiting;
  await traced<unknown>(tracing, waiting, (span) =>
    end.kind === "park" ? dispatcher.park(delivery, end.queue, end.why, source, span) : dispatcher.apply(end, source, span),
  );
}

export function createAttemptParked(dependencies: AttemptParkedDependencies): AttemptParked {
  const { admission, circuitOpen, turns, bulkhead, destinationOf, attempt, inFlight, skipDelivered, tracing, clock, maxParkedAgeMs } =
    dependencies;

  const attemptAlone = async (
    waiting: WaitingDelivery,
    { queue, share, mayBeDone, isWanted, handOut = null }: AttemptParkedOptions,
  ): Promise<ParkedEnd | "again"> => {
    const { delivery, source } = waiting;
    if (mayBeDone && (await skipDelivered(delivery))) return "skipped";
    requireLease(source);
    const parkedForMs = clock.now() - (delivery.firstParkedAt ?? clock.now());
    if (parkedForMs > maxParkedAgeMs) return givenUp(delivery, "expired", expiredAfter(parkedForMs));
    const decision = admission.parked(delivery, queue);
    if (decision.kind === "uninstalled") return uninstalled(delivery);
    if (decision.kind === "unknown") return "wait";
    if (decision.kind === "park") {
      const { queue: wanted, why } = decision;
      return wanted.installationUuid === queue.installationUuid ? "stopped" : { kind: "park", queue: wanted, why };
    }
    if (circuitOpen(queue.app)) return "wait";
    const suspensions = bulkhead.suspensions();
    if ((await turns.take(queue.app, isWanted)) === "closed") return "closed";
    const destination = destinationOf(delivery.installationUuid);
    if ((await bulkhead.enterWhenFree(share, destination, () => turns.limitOf(queue.app))) === "closed") return "closed";
    const poison = handOut === null ? null : await handOut.begin();
    // The waits may have been long enough for a person to stop the installation, or to change the app.
    if (poison !== null || !isWanted() || admission.parked(delivery, queue).kind !== "open" || bulkhead.suspensions() !== suspensions) {
      handOut?.giveBack();
      bulkhead.leave(share, destination);
      return poison === null ? "again" : givenUp(delivery, "redelivered", poison);
    }
    return traced(tracing, waiting, async (span) => {
      try {
        requireLease(source);
        const ended = await attempt(delivery, span);
        if (ended.kind === "deferred") handOut?.giveBack();
        return ended.kind === "deferred" ? "wait" : ended.kind === "delivered" ? "done" : ended;
      } finally {
        bulkhead.leave(share, destination);
      }
    });
  };

  return (waiting, options) =>
    inFlight.alone(waiting.delivery, async (hasWaited) => {
      for (;;) {
        const end = await attemptAlone(waiting, { ...options, mayBeDone: options.mayBeDone || hasWaited });
        if (end !== "again") return end;
        // The state changed while it waited for a slot, so it is admitted again.
        if (!options.isWanted()) return "unwanted";
      }
    });
}
