/** /v1/deliveries/{id} and /v1/events/{id}: explains deliveries and events, and resends deliveries. */
import { z } from "zod";
import type { Resend } from "../../dead-letters/resend.ts";
import { deliveryAnswer, eventAnswer } from "../../explain/answer-schemas.ts";
import type { Explain } from "../../explain/explain.ts";
import { answer, NOT_STORED, type Route, route } from "../http/route.ts";
import { resent } from "../schemas/events.ts";
import { deliveryId, eventType, time } from "../schemas/parameters.ts";

export function deliveryRoutes({ explain, resend }: { explain: Explain; resend: Resend }): Route[] {
  return [
    route({
      operationId: "explainDelivery",
      method: "GET",
      url: "/v1/deliveries/:id",
      access: "read",
      summary: "Explains a delivery: its attempts, where it is now, when the next attempt is due. Its id is the webhook-id header.",
      params: z.object({ id: deliveryId }),
      answers: { 200: answer("the explanation; `notes` lists its limits", deliveryAnswer), 404: "nothing is known about it any more" },
      handle: async ({ params: { id } }) => ({ status: 200, body: await explain.delivery(id) }),
    }),
    route({
      operationId: "explainEvent",
      method: "GET",
      url: "/v1/events/:id",
      access: "read",
      summary:
        "Explains an event: which installations of its organization wanted it, which did not and why, and the state of each delivery. Of several events with the id, the newest comes first.",
      params: z.object({ id: z.string().min(1).meta({ example: "evt-1" }) }),
      query: z.object({
        since: time.optional().meta({
          description: "Where to start the search for an event without deliveries; when absent, the newest events are searched.",
        }),
        type: eventType.optional().meta({ description: "Only the event of this type, when several have the id." }),
        source: z.string().min(1).optional().meta({ description: "Only the CloudEvent of this source, when several have the id." }),
      }),
      answers: {
        200: answer("the explanation; `notes` lists its limits", eventAnswer),
        404: "not among the events that were searched",
      },
      handle: async ({ params: { id }, query: { since = null, type = null, source = null } }) => ({
        status: 200,
        body: await explain.event({ id, since, type, source }),
      }),
    }),
    route({
      operationId: "resendDelivery",
      method: "POST",
      url: "/v1/deliveries/:id/resend",
      access: "admin",
      summary: "Resends a delivery of the last days, whatever its state. The attempts are logged but not counted.",
      params: z.object({ id: deliveryId }),
      answers: {
        202: answer("stored for delivery", resent),
        404: "no such delivery, or its event is not in the stream any more",
        503: NOT_STORED,
      },
      async handle({ params: { id } }) {
        return { status: 202, body: { delivery_id: id, resend_id: await resend(id) } };
      },
    }),
  ];
}
