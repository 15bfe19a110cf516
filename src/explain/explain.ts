/**
 * Explains what happened to an event or a delivery from what the registry, the streams and Redis know. Every search is
 * bounded; `notes` in the answer says what was not searched, or only in part.
 */
import type { ListStoredEvents } from "../jetstream/list-stored-events.ts";
import { createDescribeDelivery, type DescribeDependencies, type DescribeOptions } from "./describe-delivery.ts";
import { createDescribeListed } from "./describe-listed.ts";
import { createExplainDelivery, type ExplainDelivery } from "./explain-delivery.ts";
import { createExplainEvent, type ExplainEvent } from "./explain-event.ts";
import { createFindEvents } from "./find-events.ts";
import { createListDeliveries, type ListDeliveries } from "./list-deliveries.ts";
import { createListEvents, type ListEvents } from "./list-events.ts";
import { createReadLoggedDeliveries, type LoggedDeliveriesDependencies } from "./logged-deliveries.ts";
import type { ReadStoredDeliveries } from "./stored-deliveries.ts";

export interface Explain {
  readonly delivery: ExplainDelivery;
  readonly event: ExplainEvent;
  readonly deliveries: ListDeliveries;
  readonly events: ListEvents;
}

export interface ExplainDependencies extends DescribeDependencies, LoggedDeliveriesDependencies {
  readonly readStored: ReadStoredDeliveries;
  readonly listStored: ListStoredEvents;
}

export interface ExplainOptions extends DescribeOptions {
  readonly eventsStream: string;
}

export function createExplain(dependencies: ExplainDependencies, options: ExplainOptions): Explain {
  const describe = createDescribeDelivery(dependencies, options);
  const findEvents = createFindEvents(dependencies.sources, options.eventsStream);
  return {
    delivery: createExplainDelivery({ ...dependencies, describe }),
    event: createExplainEvent({ ...dependencies, describe, findEvents }),
    deliveries: createListDeliveries({
      ...dependencies,
      readLogged: createReadLoggedDeliveries(dependencies),
      describeListed: createDescribeListed(dependencies, options),
    }),
    events: createListEvents(dependencies.listStored),
  };
}
