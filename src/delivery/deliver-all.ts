/** All deliveries that come of one message. */
import type { Delivery } from "../model/delivery.ts";
import type { Dispatcher } from "./dispatcher.ts";
import type { AttemptLog, DeliveryObserver, LaneSource, TracePosition } from "./ports.ts";

/**
 * Resolves when each delivery is done or stored. Rejects with the first fault, and not before all have ended: a message
 * that is given back while some of its attempts are under way would be delivered twice.
 * @param mayBeDone they may have been delivered before: their marks are looked at.
 */
export type DeliverAll = (
  deliveries: readonly Delivery[],
  trace: TracePosition,
  source: LaneSource,
  mayBeDone: boolean,
) => Promise<unknown>;

export interface DeliverAllDependencies {
  readonly dispatcher: Dispatcher;
  readonly log: AttemptLog;
  readonly observer: DeliveryObserver;
}

export function createDeliverAll({ dispatcher, log, observer }: DeliverAllDependencies): DeliverAll {
  const deliverUndone = async (delivery: Delivery, trace: TracePosition, source: LaneSource): Promise<void> => {
    if (await log.isDone(delivery)) return observer.skipped(delivery);
    await dispatcher.dispatch(delivery, trace, source);
  };

  return (deliveries, trace, source, mayBeDone) => {
    const deliver = mayBeDone ? deliverUndone : dispatcher.dispatch;
    const [only] = deliveries;
    if (only !== undefined && deliveries.length === 1) return deliver(only, trace, source);
    return allEnded(deliveries.map((delivery) => deliver(delivery, trace, source)));
  };
}

async function allEnded(work: ReadonlyArray<Promise<void>>): Promise<void> {
  for (const result of await Promise.allSettled(work)) if (result.status === "rejected") throw result.reason;
}
