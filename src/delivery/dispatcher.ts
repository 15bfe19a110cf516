/**
 * The way of one delivery: admission → bulkhead → attempt → done, or stored in another stream.
 *
 * D1  `dispatch` resolves only when the delivery is done or JetStream has stored it; its source may be acknowledged then.
 * D2  What parks is stored in the order of the calls: everything up to the store is synchronous.
 * D3  A delivery that waited while NATS was away may have been handed to another replica: its dedup keys are looked at again, and
 *     nothing is attempted or stored for a source whose lease is over (LEASE-1).
 */
import type { Delivery } from "../model/delivery.ts";
import type { Admission, ParkedBecause } from "./admission.ts";
import { type Attempt, type Deferred, type Disposition, uninstalled } from "./attempt.ts";
import type { GiveUp } from "./give-up.ts";
import type { Bulkhead } from "./limits/bulkhead.ts";
import type { DestinationOf } from "./limits/destination.ts";
import type { DeliveryObserver, DeliveryStreams, MessageRef, ParkedQueue, TraceHeaders, TracePosition, Tracing } from "./ports.ts";
import type { SkipDelivered } from "./skip-delivered.ts";
import { requireLease } from "./source-lease.ts";

export interface Dispatcher {
  /**
   * Attempts the delivery if it may be attempted now, else stores it.
   * @throws AppError STREAM_REFUSED when it could be neither: the source has to come again.
   */
  dispatch(delivery: Delivery, trace: TracePosition, source: MessageRef): Promise<void>;
  /** Does what a disposition asks for. @returns the sequence of the dead letter, null when it is none */
  settle(disposition: Disposition, source: MessageRef, trace: TraceHeaders): Promise<number | null>;
  /** @param dueAt not to be attempted before, milliseconds since the epoch; null: when its turn comes */
  park(
    delivery: Delivery,
    queue: ParkedQueue,
    why: ParkedBecause,
    source: MessageRef,
    trace: TraceHeaders,
    dueAt?: number | null,
  ): Promise<void>;
}

export interface DispatcherDependencies {
  readonly admission: Admission;
  readonly bulkhead: Bulkhead;
  readonly destinationOf: DestinationOf;
  readonly attempt: Attempt;
  readonly streams: DeliveryStreams;
  readonly skipDelivered: SkipDelivered;
  readonly observer: DeliveryObserver;
  readonly tracing: Tracing;
  /** How many attempts for the app this process may have in flight at once; with 0 all go through its queue. */
  readonly directLimit: (appMaxInFlight: number | null) => number;
  /** Whether the app may park no more; it may when not given. */
  readonly isShareUsedUp?: (app: string) => boolean;
  /** Told when a delivery was stored in a parked queue. */
  readonly onParked: (queue: ParkedQueue) => void;
  readonly giveUp: Pick<GiveUp, "delivery">;
}

export function createDispatcher(dependencies: DispatcherDependencies): Dispatcher {
  const {
    admission,
    bulkhead,
    destinationOf,
    attempt,
    streams,
    skipDelivered,
    observer,
    tracing,
    directLimit,
    isShareUsedUp = () => false,
    onParked,
    giveUp,
  } = dependencies;

  const settle: Dispatcher["settle"] = async (disposition, source, trace) => {
    switch (disposition.kind) {
      case "delivered":
        return null;
      case "retry": {
        const { delivery, delay } = disposition;
        const due = `due in ${delay.delayMs} ms`;
        await tracing.store(trace, "retries", delivery, due, (at) => streams.retry(delivery, delay, source, at));
        observer.stored("retries", delivery, due);
        return null;
      }
      case "dead-letter":
        return giveUp.delivery(disposition, source, trace);
    }
  };

  const park: Dispatcher["park"] = async (delivery, queue, why, source, trace, dueAt = null) => {
    if (isShareUsedUp(delivery.app)) {
      await giveUp.delivery({ delivery, reason: "overflow", error: "the app has used up its share of the parked stream" }, source, trace);
      return;
    }
    await tracing.store(trace, "parked", delivery, why, (at) => streams.park(delivery, queue, dueAt, source, at));
    observer.stored("parked", delivery, why);
    onParked(queue);
  };

  const attemptIn = async (delivery: Delivery, destination: string, trace: TracePosition, source: MessageRef): Promise<void> => {
    let disposition: Disposition | Deferred;
    try {
      requireLease(source);
      disposition = await attempt(delivery, trace);
    } finally {
      bulkhead.leave(delivery.app, destination);
    }
    if (disposition.kind === "delivered") return;
    if (disposition.kind === "held") return park(delivery, { app: delivery.app, installationUuid: null }, "circuit", source, trace);
    await settle(disposition, source, trace);
  };

  const send = (delivery: Delivery, trace: TracePosition, source: MessageRef): Promise<void> => {
    const decision = admission.direct(delivery);
    if (decision.kind === "uninstalled") return settle(uninstalled(delivery), source, trace).then(() => {});
    if (decision.kind === "park") return park(delivery, decision.queue, decision.why, source, trace);

    const suspensions = bulkhead.suspensions();
    const limit = directLimit(decision.app.maxInFlight);
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
          // The wait may have been long enough for the admission to close.
          if (!isDone && admission.direct(delivery).kind === "open") return attemptIn(delivery, destination, trace, source);
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
