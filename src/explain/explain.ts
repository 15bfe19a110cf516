/**
 * Explains what happened to an event or a delivery from what the registry, the streams and Redis know. Every search is
 * bounded; `notes` in the answer says what was not searched, or only in part.
 */
import { createDescribeDelivery, type DescribeDependencies, type DescribeOptions } from "./describe-delivery.ts";
import { createExplainDelivery, type ExplainDelivery } from "./explain-delivery.ts";
import { createExplainEvent, type ExplainEvent } from "./explain-event.ts";
import { createFindEvents } from "./find-events.ts";

export interface Explain {
  readonly delivery: ExplainDelivery;
  readonly event: ExplainEvent;
}

export interface ExplainOptions extends DescribeOptions {
  readonly eventsStream: string;
}

export function createExplain(dependencies: DescribeDependencies, options: ExplainOptions): Explain {
  const describe = createDescribeDelivery(dependencies, options);
  const findEvents = createFindEvents(dependencies.sources, options.eventsStream);
  return {
    delivery: createExplainDelivery({ ...dependencies, describe }),
    event: createExplainEvent({ ...dependencies, describe, findEvents }),
  };
}
