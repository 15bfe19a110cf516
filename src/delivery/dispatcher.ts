/**
 * The path of one delivery: admission → bulkhead → attempt → done, or stored in another stream.
 *
 * DISPATCH-1  `dispatch` resolves only when the delivery is done or JetStream has stored it. Its source may then be acknowledged.
 * DISPATCH-2  Deliveries are parked in the order of the calls: everything up to the store is synchronous.
 * DISPATCH-3  A delivery that is too large for the stream becomes a dead letter (`overflow`): handled again, it would be attempted again.
 * DISPATCH-4  A delivery that waited while NATS was down may have been delivered by another replica: its dedup keys are checked again,
 *             and nothing is attempted or stored for a source whose lease is over (LEASE-1).
 */
import { isTooLarge, messageOf } from "../model/app-error.ts";
import type { Delivery } from "../model/delivery.ts";
import type { TraceHeaders } from "../model/trace-context.ts";
import type { Admission, ParkedBecause } from "./admission.ts";
import type { Attempt } from "./attempt.ts";
import { type Deferred, type Disposition, uninstalled } from "./disposition.ts";
import type { GiveUp } from "./give-up.ts";
import type { Bulkhead } from "./limits/bulkhead.ts";
import type { DestinationOf } from "./limits/destination.ts";
import type { DeliveryObserver, DeliveryStreams, MessageRef, ParkedQueue } from "./ports.ts";
import type { SkipDelivered } from "./skip-delivered.ts";
import { requireLease } from "./source-lease.ts";
import type { Turns } from "./throttle/turns.ts";
import type { TracePosition, Tracing } from "./tracing-ports.ts";

export interface Dispatcher {
  /**
   * Attempts the delivery if it may be attempted now, or else stores it.
   * @throws AppError STREAM_REFUSED when it can do neither: the source must be redelivered
   */
  dispatch(delivery: Delivery, trace: TracePosition, source: MessageRef): Promise<void>;
  /**
   * Stores the delivery as the disposition says.
   * @returns the sequence of the dead letter; null: there is none
   */
  apply(disposition: Disposition, source: MessageRef, trace: TraceHeaders): Promise<number | null>;
  /** @param dueAt no attempt before this time, milliseconds since the epoch; null: no such limit */
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
  readonly turns: Pick<Turns, "takeWithin" | "limitOf">;
  /** Limit of the app's concurrent attempts from here; with 0 all its deliveries go through its queue. */
  readonly directLimit: (app: string) => number;
  /** Takes room for a delivery in the parked stream. @returns gives it back; null: its app has none left. By default there always is. */
  readonly takeRoom?: (delivery: Delivery) => (() => void) | null;
  /** A delivery was stored in a parked queue. */
  readonly onParked: (queue: ParkedQueue) => void;
  readonly giveUp: Pick<GiveUp, "delivery">;
}

/** How long a delivery waits for a turn of its app before it is parked. */
const TURN_WITHIN_MS = 500;

/** The ways in which a delivery is stored. */
function createStores(dependencies: DispatcherDependencies): Pick<Dispatcher, "apply" | "park"> {
  const { streams, observer, tracing, takeRoom = () => () => {}, onParked, giveUp } = dependencies;

  /** @returns the sequence of its dead letter, which takes the place of a delivery that is too large for the stream; null: it is stored */
  const storeOrGiveUp = async (delivery: Delivery, store: () => Promise<unknown>, source: MessageRef, trace: TraceHeaders) => {
    try {
      await store();
      return null;
    } catch (error) {
      if (!isTooLarge(error)) throw error;
      return giveUp.delivery({ delivery, reason: "overflow", error: messageOf(error) }, source, trace);
    }
  };

  const apply: Dispatcher["apply"] = async (disposition, source, trace) => {
    switch (disposition.kind) {
      case "delivered":
        return null;
      case "retry": {
        const { delivery, delay } = disposition;
        const due = `due in ${delay.delayMs} ms`;
        const store = () => tracing.store(trace, "retries", delivery, due, (at) => streams.retry(delivery, delay, source, at));
        const deadLetter = await storeOrGiveUp(delivery, store, source, trace);
        if (deadLetter === null) observer.stored("retries", delivery, due);
        return deadLetter;
      }
      case "dead-letter":
        return giveUp.delivery(disposition, source, trace);
    }
  };

  const park: Dispatcher["park"] = async (delivery, queue, why, source, trace, dueAt = null) => {
    const giveBack = takeRoom(delivery);
    if (giveBack === null) {
      await giveUp.delivery({ delivery, reason: "overflow", error: "the app has used up its share of the parked stream" }, source, trace);
      return;
    }
    const store = () => tracing.store(trace, "parked", delivery, why, (at) => streams.park(delivery, queue, dueAt, source, at));
    const deadLetter = await storeOrGiveUp(delivery, store, source, trace).finally(giveBack);
    if (deadLetter !== null) return;
    observer.stored("parked", delivery, why);
    onParked(queue);
  };

  return { apply, park };
}

export function createDispatcher(dependencies: DispatcherDependencies): Dispatcher {
  const { admission, bulkhead, destinationOf, attempt, skipDelivered, tracing, turns, directLimit } = dependencies;
  const { apply, park } = createStores(dependencies);

  const attemptIn = async (delivery: Delivery, destination: string, trace: TracePosition, source: MessageRef): Promise<void> => {
    let disposition: Disposition | Deferred;
    try {
      requireLease(source);
      disposition = await attempt(delivery, trace);
    } finally {
      bulkhead.leave(delivery.app, destination);
    }
    if (disposition.kind === "delivered") return;
    if (disposition.kind === "deferred") {
      const decision = admission.direct(delivery);
      const why = decision.kind === "park" ? decision.why : "circuit";
      return parkInApp(delivery, why, trace, source);
    }
    await apply(disposition, source, trace);
  };

  const parkInApp = (delivery: Delivery, why: ParkedBecause, trace: TracePosition, source: MessageRef): Promise<void> =>
    park(delivery, { app: delivery.app, installationUuid: null }, why, source, trace);

  const send = (delivery: Delivery, trace: TracePosition, source: MessageRef): Promise<void> => {
    const decision = admission.direct(delivery);
    if (decision.kind === "uninstalled") return apply(uninstalled(delivery), source, trace).then(() => {});
    if (decision.kind === "unknown") return parkInApp(delivery, "queue", trace, source);
    if (decision.kind === "park") return park(delivery, decision.queue, decision.why, source, trace);
    const limit = directLimit(delivery.app);
    if (limit === 0) return parkInApp(delivery, "bulkhead", trace, source);

    const suspensions = bulkhead.suspensions();
    const turn = turns.takeWithin(delivery.app, TURN_WITHIN_MS);
    if (turn === "granted") return enter(delivery, limit, trace, source);
    if (turn === "full") return parkInApp(delivery, "rate", trace, source);
    return Promise.resolve(turn).then(async (late) => {
      if (late === "closed") return parkInApp(delivery, "stopping", trace, source);
      if (bulkhead.suspensions() !== suspensions && (await skipDelivered(delivery))) return;
      // Admission may have changed during the wait.
      return admission.direct(delivery).kind === "open" ? enter(delivery, limit, trace, source) : send(delivery, trace, source);
    });
  };

  const enter = (delivery: Delivery, limit: number, trace: TracePosition, source: MessageRef): Promise<void> => {
    const suspensions = bulkhead.suspensions();
    const destination = destinationOf(delivery.installationUuid);
    const entry = bulkhead.enter(delivery.app, Math.min(limit, turns.limitOf(delivery.app)), destination);
    if (entry === "entered") return attemptIn(delivery, destination, trace, source);
    // A delivery that a stop turns away is parked and not given back: redeliveries are for crashes.
    return Promise.resolve(entry).then(async (late) => {
      switch (late) {
        case "full":
          return parkInApp(delivery, "bulkhead", trace, source);
        case "closed":
          return parkInApp(delivery, "stopping", trace, source);
        case "entered": {
          const isDone = bulkhead.suspensions() !== suspensions && (await skipDelivered(delivery));
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

  return { dispatch, apply, park };
}
