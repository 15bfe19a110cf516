/** GET /v1/deliveries/{id}: what happened to one delivery. */
import type { DeliveryAnswer } from "./answer-schemas.ts";
import { appRows } from "./app-rows.ts";
import type { DescribeDelivery } from "./describe-delivery.ts";
import { locateDeliveries } from "./locate-deliveries.ts";
import { createNotes, notFound, unlessRedisIsDown } from "./notes.ts";
import type { DeliverySources } from "./ports.ts";
import { summarizeEvent } from "./summarize-event.ts";

/** @throws AppError NOT_FOUND when no source knows the delivery, REDIS_UNREACHABLE when Redis may know it */
export type ExplainDelivery = (deliveryId: string) => Promise<DeliveryAnswer>;

export interface ExplainDeliveryDependencies {
  readonly sources: DeliverySources;
  readonly describe: DescribeDelivery;
}

export function createExplainDelivery({ sources, describe }: ExplainDeliveryDependencies): ExplainDelivery {
  const { lookup, streams, events } = sources;

  return async (deliveryId) => {
    const notes = createNotes();
    const [history = null] = await unlessRedisIsDown(lookup.find([deliveryId]), [], notes);
    const found = await locateDeliveries(streams, [{ id: deliveryId, history }], history?.app ?? null, notes);
    const located = found.get(deliveryId) ?? null;
    const known = history ?? located?.delivery;
    if (known === undefined) {
      const unknown = `nothing is known about delivery ${deliveryId} in the last 8 days; a delivery becomes known when its first attempt ends`;
      throw notFound(unknown, notes);
    }
    const { app, installationUuid, eventSequence } = known;
    const stored = eventSequence === null ? null : await events.at(eventSequence);
    const event = stored?.event ?? located?.delivery.event ?? null;
    const rows = await appRows(sources, app, event?.type ?? null, notes);
    const delivery = await describe({ deliveryId, app, installationUuid }, { history, located, stored, remaining: null, rows });
    const row = rows.find(({ delivery_id: id }) => id === deliveryId);
    const id = event?.id ?? row?.event_id;
    return {
      delivery,
      event: id === undefined ? null : summarizeEvent({ id, event, row, stored, traceId: delivery.trace_id }),
      notes: notes.list(),
    };
  };
}
