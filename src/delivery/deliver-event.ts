/** Handles all deliveries of one message. */
import { allEnded } from "../model/all-ended.ts";
import type { Delivery } from "../model/delivery.ts";
import type { Dispatcher } from "./dispatcher.ts";
import type { InFlight } from "./in-flight.ts";
import type { MessageRef } from "./ports.ts";
import { createRecentDeliveries } from "./recent-deliveries.ts";
import type { SkipDelivered } from "./skip-delivered.ts";
import type { TracePosition } from "./tracing-ports.ts";

/**
 * Resolves when each delivery is done or stored. Rejects with the first fault, but only after all have ended: a message that is
 * given back during its attempts would be delivered twice.
 * @param mayBeDone whether they may have been delivered before; their dedup keys are then checked
 */
export type DeliverEvent = (
  deliveries: readonly Delivery[],
  trace: TracePosition,
  source: MessageRef,
  mayBeDone: boolean,
) => Promise<unknown>;

export interface DeliverAllDependencies {
  readonly dispatcher: Dispatcher;
  readonly inFlight: InFlight;
  readonly skipDelivered: SkipDelivered;
}

export function createDeliverEvent({ dispatcher, inFlight, skipDelivered }: DeliverAllDependencies): DeliverEvent {
  const recent = createRecentDeliveries();

  const deliver = (delivery: Delivery, trace: TracePosition, source: MessageRef, mayBeDone: boolean): Promise<void> => {
    const isAgain = recent.isAgain(delivery) || mayBeDone;
    return inFlight.alone(delivery, (hasWaited) =>
      isAgain || hasWaited ? deliverUndone(delivery, trace, source) : dispatcher.dispatch(delivery, trace, source),
    );
  };

  const deliverUndone = async (delivery: Delivery, trace: TracePosition, source: MessageRef): Promise<void> => {
    if (!(await skipDelivered(delivery))) await dispatcher.dispatch(delivery, trace, source);
  };

  return (deliveries, trace, source, mayBeDone) => {
    const [only] = deliveries;
    if (only !== undefined && deliveries.length === 1) return deliver(only, trace, source, mayBeDone);
    return allEnded(deliveries.map((delivery) => deliver(delivery, trace, source, mayBeDone)));
  };
}
