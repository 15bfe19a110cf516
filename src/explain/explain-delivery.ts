/** GET /v1/deliveries/{id}: what happened to one delivery. */
import type { DeliveryAnswer } from "./answer-schemas.ts";
import { appRows } from "./app-rows.ts";
import type { DescribeDelivery } from "./describe-delivery.ts";
import { isOwnDelivery } from "./is-own-delivery.ts";
import { locateDeliveries } from "./locate-deliveries.ts";
import { createNotes, notFound, notVisible, unlessRedisIsDown } from "./notes.ts";
import type { DeliverySources, RegistrySources } from "./ports.ts";
import { summarizeEvent } from "./summarize-event.ts";
import { EVERYBODY, seesEverything, seesOrganization, type Viewer } from "./viewer.ts";

/** @throws AppError NOT_FOUND when no source knows the delivery, REDIS_UNREACHABLE when Redis may know it */
export type ExplainDelivery = (deliveryId: string, viewer?: Viewer) => Promise<DeliveryAnswer>;

export interface ExplainDeliveryDependencies extends Pick<RegistrySources, "index"> {
  readonly sources: DeliverySources;
  readonly describe: DescribeDelivery;
}

export function createExplainDelivery({ sources, describe, index }: ExplainDeliveryDependencies): ExplainDelivery {
  const { lookup, streams, events } = sources;

  return async (deliveryId, viewer = EVERYBODY) => {
    const { onlyApp } = viewer;
    const notes = createNotes();
    const [history = null] = await unlessRedisIsDown(lookup.find([deliveryId]), [], notes);
    const found = await locateDeliveries(streams, [{ id: deliveryId, history }], history?.app ?? null, notes);
    const located = found.get(deliveryId) ?? null;
    const known = history ?? located?.delivery;
    const unknown = `nothing is known about delivery ${deliveryId} in the last ${inWords(lookup.knownForMs)}; a delivery becomes known when its first attempt ends`;
    if (known === undefined) throw seesEverything(viewer) ? notFound(unknown, notes) : notVisible(unknown, notes);
    const { app, installationUuid, eventSequence } = known;
    const stored = eventSequence === null ? null : await events.at(eventSequence);
    const isVisible =
      onlyApp === null || (app === onlyApp && isOwnDelivery({ located, history, stored }, index.app(app)?.createdAt ?? null));
    if (!isVisible) throw notVisible(unknown, notes);
    const event = stored?.event ?? located?.delivery.event ?? null;
    const organizationId = event?.organizationId ?? index.installation(installationUuid)?.organizationId;
    if (!seesOrganization(viewer, organizationId)) throw notVisible(unknown, notes);
    const rows = await appRows(sources, app, event?.type ?? null, notes);
    const delivery = await describe({ deliveryId, app, installationUuid }, { history, located, stored, remaining: null, rows }, notes);
    const row = rows.find(({ delivery_id: id }) => id === deliveryId);
    const id = event?.id ?? row?.event_id;
    return {
      delivery,
      event: id === undefined ? null : summarizeEvent({ id, event, row, stored, traceId: delivery.trace_id }),
      notes: notes.list(),
    };
  };
}

function inWords(ms: number): string {
  const hours = Math.round(ms / 3_600_000);
  return hours >= 48 ? `${Math.round(hours / 24)} days` : `${Math.max(1, hours)} hours`;
}
