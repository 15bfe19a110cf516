/**
 * The way of one delivery: gate → bulkhead → attempt → done, or stored in another lane.
 *
 * D1  `dispatch` resolves only when the delivery is done or JetStream has stored it; its source may be acknowledged then.
 * D2  What parks is stored in the order of the calls: everything up to the store is synchronous.
 * D3  A delivery that waited while NATS was away may have been handed to another replica: its dedup keys are looked at again, and
 *     nothing is attempted or stored for a source whose lease is over (LEASE-1).
 */
import type { Delivery } from "../model/delivery.ts";
import { type Attempt, type DeadLetterVerdict, givenUp, type Held, uninstalled, type Verdict } from "./attempt.ts";
import type { Bulkhead } from "./bulkhead.ts";
import type { DestinationOf } from "./destination.ts";
import type { Gate, ParkedBecause } from "./gate.ts";
import type { AttemptLog, DeliveryObserver, LaneSource, Lanes, ParkedQueue, TraceHeaders, TracePosition, Tracing } from "./ports.ts";
import { requireLease } from "./source-lease.ts";

export interface Dispatcher {
  /**
   * Attempts the delivery if it may be attempted now, else stores it.
   * @throws AppError LANE_REFUSED when it could be neither: the source has to come again.
   */
  dispatch(delivery: Delivery, trace: TracePosition, source: LaneSource): Promise<void>;
  /** Does what a verdict asks for. @returns the sequence of the dead letter, null when it is none */
  settle(verdict: Verdict, source: LaneSource, trace: TraceHeaders): Promise<number | null>;
  /** @param dueAt not to be attempted before, milliseconds since the epoch; null: when its turn comes */
  park(
    delivery: Delivery,
    queue: ParkedQueue,
    why: ParkedBecause,
    source: LaneSource,
    trace: TraceHeaders,
    dueAt?: number | null,
  ): Promise<void>;
}

export interface DispatcherDependencies {
  readonly gate: Gate;
  readonly bulkhead: Bulkhead;
  readonly destinationOf: DestinationOf;
  readonly attempt: Attempt;
  readonly lanes: Lanes;
  readonly log: Pick<AttemptLog, "isDone">;
  readonly observer: DeliveryObserver;
  readonly tracing: Tracing;
  /** How many attempts for the app this process may have in flight at once; with 0 all go through its queue. */
  readonly directLimit: (appMaxInFlight: number | null) => number;
  /** Whether the app may park no more; it may when not given. */
  readonly isShareUsedUp?: (app: string) => boolean;
  /** Told when a delivery was stored in a parked queue. */
  readonly onParked: (queue: ParkedQueue) => void;
  /** Tells the bus that a delivery was given up and is in dead letters; its source is acknowledged after that. */
  readonly onGivenUp: (verdict: DeadLetterVerdict) => Promise<void>;
}

export function createDispatcher(dependencies: DispatcherDependencies): Dispatcher {
  const {
    gate,
    bulkhead,
    destinationOf,
    attempt,
    lanes,
    log,
    observer,
    tracing,
    directLimit,
    isShareUsedUp = () => false,
    onParked,
    onGivenUp,
  } = dependencies;

  const settle: Dispatcher["settle"] = async (verdict, source, trace) => {
    switch (verdict.kind) {
      case "delivered":
        return null;
      case "retry": {
        const { delivery, delay } = verdict;
        const due = `due in ${delay.delayMs} ms`;
        await tracing.store(trace, "retries", delivery, due, (at) => lanes.retry(delivery, delay, source, at));
        observer.stored("retries", delivery, due);
        return null;
      }
      case "dead-letter": {
        const { delivery, reason, error } = verdict;
        let sequence = 0;
        await tracing.store(trace, "dead-letters", delivery, reason, async (at) => {
          const receipt = await lanes.deadLetter(delivery, reason, error, source, at);
          sequence = receipt.sequence;
          return receipt;
        });
        observer.stored("dead-letters", delivery, reason);
        await onGivenUp(verdict);
        return sequence;
      }
    }
  };

  const park: Dispatcher["park"] = async (delivery, queue, why, source, trace, dueAt = null) => {
    if (isShareUsedUp(delivery.app)) {
      await settle(givenUp(delivery, "overflow", "the app has used up its share of the parked stream"), source, trace);
      return;
    }
    await tracing.store(trace, "parked", delivery, why, (at) => lanes.park(delivery, queue, dueAt, source, at));
    observer.stored("parked", delivery, why);
    onParked(queue);
  };

  const attemptIn = async (delivery: Delivery, destination: string, trace: TracePosition, source: LaneSource): Promise<void> => {
    let verdict: Verdict | Held;
    try {
      requireLease(source);
      verdict = await attempt(delivery, trace);
    } finally {
      bulkhead.leave(delivery.app, destination);
    }
    if (verdict.kind === "delivered") return;
    if (verdict.kind === "held") return park(delivery, { app: delivery.app, installationUuid: null }, "circuit", source, trace);
    await settle(verdict, source, trace);
  };

  const send = (delivery: Delivery, trace: TracePosition, source: LaneSource): Promise<void> => {
    const passage = gate.direct(delivery);
    if (passage.kind === "uninstalled") return settle(uninstalled(delivery), source, trace).then(() => {});
    if (passage.kind === "park") return park(delivery, passage.queue, passage.why, source, trace);

    const suspensions = bulkhead.suspensions();
    const limit = directLimit(passage.app.maxInFlight);
    if (limit === 0) return park(delivery, { app: delivery.app, installationUuid: null }, "bulkhead", source, trace);
    const destination = destinationOf(delivery.installationUuid);
    const entry = bulkhead.enter(delivery.app, limit, destination);
    if (entry === "entered") return attemptIn(delivery, destination, trace, source);
    // Sent away by a stop it is parked, not given back: redeliveries are for crashes.
    return Promise.resolve(entry).then(async (late) => {
      switch (late) {
        case "full":
          return park(delivery, { app: delivery.app, installationUuid: null }, "bulkhead", source, trace);
        case "closed":
          return park(delivery, { app: delivery.app, installationUuid: null }, "stopping", source, trace);
        case "entered": {
          const isDone = bulkhead.suspensions() !== suspensions && (await log.isDone(delivery));
          // The wait may have been long enough for the gate to close.
          if (!isDone && gate.direct(delivery).kind === "open") return attemptIn(delivery, destination, trace, source);
          bulkhead.leave(delivery.app, destination);
          return isDone ? observer.skipped(delivery) : send(delivery, trace, source);
        }
      }
    });
  };

  const dispatch: Dispatcher["dispatch"] = (delivery, parent, source) =>
    tracing.deliver(parent, delivery, (span) => send(delivery, span, source));

  return { dispatch, settle, park };
}
