/**
 * The way of one delivery: gate → bulkhead → attempt → done, or stored in another lane.
 *
 * D1  `dispatch` resolves only when the delivery is done or JetStream has stored it; its source may be acknowledged then.
 * D2  For an ordered app everything up to the park is synchronous: deliveries are stored in the order they came.
 * D3  A delivery that waited while NATS was away may have been handed to another replica: its mark is looked at again.
 */
import type { Delivery } from "../model/delivery.ts";
import type { Gate, ParkedBecause } from "./admission.ts";
import { type Attempt, type Held, uninstalled, type Verdict } from "./attempt.ts";
import type { GiveUp } from "./give-up.ts";
import type { Bulkhead } from "./limits/bulkhead.ts";
import type { DestinationOf } from "./limits/destination.ts";
import type { DeliveryObserver, LaneSource, Lanes, ParkedQueue, TracePosition, Tracing } from "./ports.ts";
import type { SkipDelivered } from "./skip-delivered.ts";

export interface Dispatcher {
  /**
   * Attempts the delivery if it may be attempted now, else stores it.
   * @throws AppError LANE_REFUSED when it could be neither: the source has to come again.
   */
  dispatch(delivery: Delivery, trace: TracePosition, source: LaneSource): Promise<void>;
  /** Does what a verdict asks for. */
  settle(verdict: Verdict, source: LaneSource, trace: TracePosition): Promise<void>;
  /** @param dueAt not to be attempted before, milliseconds since the epoch; null: when its turn comes */
  park(
    delivery: Delivery,
    queue: ParkedQueue,
    why: ParkedBecause,
    source: LaneSource,
    trace: TracePosition,
    dueAt?: number | null,
  ): Promise<void>;
}

export interface DispatcherDependencies {
  readonly gate: Gate;
  readonly bulkhead: Bulkhead;
  readonly destinationOf: DestinationOf;
  readonly attempt: Attempt;
  readonly lanes: Lanes;
  readonly skipDelivered: SkipDelivered;
  readonly observer: DeliveryObserver;
  readonly tracing: Tracing;
  /** How many attempts for the app this process may have in flight at once; with 0 all go through its queue. */
  readonly directLimit: (appMaxInFlight: number | null) => number;
  /** Told when a delivery was stored in a parked queue. */
  readonly onParked: (queue: ParkedQueue) => void;
  readonly giveUp: Pick<GiveUp, "delivery">;
}

export function createDispatcher(dependencies: DispatcherDependencies): Dispatcher {
  const { gate, bulkhead, destinationOf, attempt, lanes, skipDelivered, observer, tracing, directLimit, onParked, giveUp } = dependencies;

  const settle = async (verdict: Verdict, source: LaneSource, trace: TracePosition): Promise<void> => {
    switch (verdict.kind) {
      case "delivered":
        return;
      case "retry": {
        const { delivery, delay } = verdict;
        const due = `due in ${delay.delayMs} ms`;
        await tracing.store(trace, "retries", delivery, due, (at) => lanes.retry(delivery, delay, source, at));
        return observer.stored("retries", delivery, due);
      }
      case "dead-letter":
        return giveUp.delivery(verdict, source, trace);
    }
  };

  const park: Dispatcher["park"] = async (delivery, queue, why, source, trace, dueAt = null) => {
    await tracing.store(trace, "parked", delivery, why, (at) => lanes.park(delivery, queue, dueAt, source, at));
    observer.stored("parked", delivery, why);
    onParked(queue);
  };

  const attemptIn = async (delivery: Delivery, destination: string, trace: TracePosition, source: LaneSource): Promise<void> => {
    let verdict: Verdict | Held;
    try {
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
    if (passage.kind === "uninstalled") return settle(uninstalled(delivery), source, trace);
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
          const isDone = bulkhead.suspensions() !== suspensions && (await skipDelivered(delivery));
          // The wait may have been long enough for the gate to close.
          if (!isDone && gate.direct(delivery).kind === "open") return attemptIn(delivery, destination, trace, source);
          bulkhead.leave(delivery.app, destination);
          if (!isDone) await send(delivery, trace, source);
          return;
        }
      }
    });
  };

  const dispatch: Dispatcher["dispatch"] = (delivery, parent, source) =>
    tracing.deliver(parent, delivery, (span) => send(delivery, span, source));

  return { dispatch, settle, park };
}
