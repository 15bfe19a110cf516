/**
 * Explains what happened to an event or a delivery from what the registry, the streams and Redis know. Every search is
 * bounded; `notes` in the answer says what was not searched, or only in part.
 */
import type { ListStoredEvents } from "../jetstream/list-stored-events.ts";
import { createDescribeDelivery, type DescribeDependencies, type DescribeOptions } from "./describe-delivery.ts";
import { createDescribeListed } from "./describe-listed.ts";
import { createExplainDelivery, type ExplainDelivery } from "./explain-delivery.ts";
import { createExplainEvent, type ExplainEvent } from "./explain-event.ts";
import { createFind, type Find } from "./find.ts";
import { createFindEvents } from "./find-events.ts";
import { isOwnDelivery } from "./is-own-delivery.ts";
import { createListDeliveries, type ListDeliveries } from "./list-deliveries.ts";
import { createListEvents, type ListEvents } from "./list-events.ts";
import { createReadLoggedDeliveries, type LoggedDeliveriesDependencies } from "./logged-deliveries.ts";
import { createSearchEverywhere } from "./search-everywhere.ts";
import type { ReadStoredDeliveries } from "./stored-deliveries.ts";

export interface Explain {
  readonly delivery: ExplainDelivery;
  readonly event: ExplainEvent;
  readonly deliveries: ListDeliveries;
  readonly events: ListEvents;
  readonly find: Find;
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
  const explainDelivery = createExplainDelivery({ ...dependencies, describe });
  const explainEvent = createExplainEvent({ ...dependencies, describe, findEvents });
  const { index, sources } = dependencies;
  const searchEverywhere = createSearchEverywhere({
    ...dependencies,
    events: sources.events,
    organizationOf: (uuid) => index.installation(uuid)?.organizationId,
    isOwn: (located) => isOwnDelivery({ located, history: null, stored: null }, index.app(located.delivery.app)?.createdAt ?? null),
  });
  return {
    delivery: explainDelivery,
    event: explainEvent,
    find: createFind({ index, explainDelivery, explainEvent, findEvents, searchEverywhere }),
    deliveries: createListDeliveries({
      ...dependencies,
      readLogged: createReadLoggedDeliveries(dependencies),
      describeListed: createDescribeListed(dependencies, options),
    }),
    events: createListEvents(dependencies.listStored),
  };
}
