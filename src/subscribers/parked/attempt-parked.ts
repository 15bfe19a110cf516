/** What stands between a parked delivery and its attempt, in one place for all who take one from a queue. */
import {
  type Attempt,
  type DeadLetterVerdict,
  type DeliveredVerdict,
  givenUp,
  type RetryVerdict,
  uninstalled,
} from "../../delivery/attempt.ts";
import type { Bulkhead } from "../../delivery/bulkhead.ts";
import type { DestinationOf } from "../../delivery/destination.ts";
import type { Dispatcher } from "../../delivery/dispatcher.ts";
import type { Gate, ParkedBecause } from "../../delivery/gate.ts";
import type {
  AttemptLog,
  DeliveryObserver,
  HandledMessage,
  LaneName,
  LaneSource,
  ParkedQueue,
  TracePosition,
  Tracing,
} from "../../delivery/ports.ts";
import { requireLease } from "../../delivery/source-lease.ts";
import type { Clock } from "../../model/clock.ts";
import type { Delivery } from "../../model/delivery.ts";
import { expiredAfter } from "./backlog.ts";

export interface AttemptParkedDependencies {
  readonly gate: Gate;
  /** Whether the app's circuit keeps attempts from starting now (delivery/circuit.ts blocks). */
  readonly circuitOpen: (app: string) => boolean;
  readonly bulkhead: Bulkhead;
  readonly destinationOf: DestinationOf;
  readonly attempt: Attempt;
  readonly dispatcher: Dispatcher;
  readonly log: AttemptLog;
  readonly observer: DeliveryObserver;
  readonly tracing: Tracing;
  readonly clock: Clock;
  readonly maxParkedAgeMs: number;
}

export interface WaitingDelivery {
  readonly delivery: Delivery;
  readonly source: LaneSource;
  readonly message: HandledMessage;
  /** Where it was taken from; `parked` when not given. */
  readonly lane?: LaneName;
}

/** Its installation's deliveries wait in a queue of their own. */
export interface ParkElsewhere {
  readonly kind: "park";
  readonly queue: ParkedQueue;
  readonly why: ParkedBecause;
}

/**
 * `done`: it was delivered, or skipped, or given up. `wait`: the circuit is open. `stopped`: its queue may not
 * flow. `closed`: the process stops. `again`: what stands in between may be something else by now. Else an attempt asks for more.
 */
export type ParkedEnd = "done" | "wait" | "stopped" | "closed" | "again" | ParkElsewhere | RetryVerdict | DeadLetterVerdict;

export interface AttemptParkedOptions {
  readonly queue: ParkedQueue;
  /** In the bulkhead. */
  readonly share: string;
  /** It may have been delivered or stored elsewhere before. */
  readonly mayBeDone: boolean;
  /** Asked after every wait. */
  readonly isWanted: () => boolean;
}

/** @throws LeaseOver, AppError LANE_REFUSED */
export type AttemptParked = (waiting: WaitingDelivery, options: AttemptParkedOptions) => Promise<ParkedEnd>;

export function createAttemptParked(dependencies: AttemptParkedDependencies): AttemptParked {
  const { gate, circuitOpen, bulkhead, destinationOf, attempt, dispatcher, log, observer, tracing, clock, maxParkedAgeMs } = dependencies;

  const traced = <T>({ message, delivery, lane = "parked" }: WaitingDelivery, work: (span: TracePosition) => Promise<T>): Promise<T> =>
    tracing.process(delivery.event, lane, message, (span) => tracing.deliver(span, delivery, work));

  const giveUp = async (waiting: WaitingDelivery, verdict: DeadLetterVerdict): Promise<"done"> => {
    await traced(waiting, (span) => dispatcher.settle(verdict, waiting.source, span));
    return "done";
  };

  return async (waiting, { queue, share, mayBeDone, isWanted }) => {
    const { delivery, source } = waiting;
    if (mayBeDone && (await log.isDone(delivery))) {
      observer.skipped(delivery);
      return "done";
    }
    requireLease(source);
    const parkedForMs = clock.now() - (delivery.firstParkedAt ?? clock.now());
    if (parkedForMs > maxParkedAgeMs) return giveUp(waiting, givenUp(delivery, "expired", expiredAfter(parkedForMs)));
    const passage = gate.parked(delivery, queue);
    if (passage.kind === "uninstalled") return giveUp(waiting, uninstalled(delivery));
    if (passage.kind === "park") {
      const { queue: wanted, why } = passage;
      return wanted.installationUuid === queue.installationUuid ? "stopped" : { kind: "park", queue: wanted, why };
    }
    if (circuitOpen(queue.app)) return "wait";
    const suspensions = bulkhead.suspensions();
    const destination = destinationOf(delivery.installationUuid);
    if ((await bulkhead.enterWhenFree(share, destination)) === "closed") return "closed";
    // The wait for a place may have been long enough for a person to stop the installation, or to change the app.
    if (!isWanted() || gate.parked(delivery, queue).kind !== "open" || bulkhead.suspensions() !== suspensions) {
      bulkhead.leave(share, destination);
      return "again";
    }
    return traced(waiting, async (span) => {
      const ended = await attemptIn(waiting, share, destination, span);
      if (ended.kind === "held") return "wait";
      return ended.kind === "delivered" ? "done" : ended;
    });
  };

  async function attemptIn(
    { delivery, source }: WaitingDelivery,
    share: string,
    destination: string,
    span: TracePosition,
  ): Promise<DeliveredVerdict | RetryVerdict | DeadLetterVerdict | { readonly kind: "held" }> {
    try {
      requireLease(source);
      return await attempt(delivery, span);
    } finally {
      bulkhead.leave(share, destination);
    }
  }
}
