/** /v1/deliveries/{id} and /v1/events/{id}: what became of it; and sending a delivery again. */
import { z } from "zod";
import { deliveryAnswer, eventAnswer } from "../../explain/answer-schemas.ts";
import type { Explain } from "../../explain/explain.ts";
import { answer, NOT_STORED, type Route, route } from "../http/route.ts";
import type { ResendDelivery } from "../ports.ts";
import { deliveryId, eventType, time } from "../schemas/parameters.ts";
import { resent } from "../schemas/schemas.ts";

export function deliveryRoutes({ explain, resend }: { explain: Explain; resend: ResendDelivery }): Route[] {
  return [
    route({
      method: "GET",
      url: "/v1/deliveries/:id",
      access: "read",
      summary: "What became of a delivery: each attempt, where it is now, when the next attempt is due. Its id is the webhook-id header.",
      params: z.object({ id: deliveryId }),
      answers: { 200: answer("the explanation; `notes` says what it can't know", deliveryAnswer), 404: "nothing is known of it any more" },
      handle: async ({ params: { id } }) => ({ status: 200, body: await explain.delivery(id) }),
    }),
    route({
      method: "GET",
      url: "/v1/events/:id",
      access: "read",
      summary:
        "Who of the event's organization wanted an event, who did not and why, and what became of each delivery. Of events with the same id the newest comes first.",
      params: z.object({ id: z.string().min(1).meta({ example: "evt-1" }) }),
      query: z.object({
        since: time.optional().meta({
          description: "Where to begin looking for an event that no delivery was made of; the newest are looked at when not given.",
        }),
        type: eventType.optional().meta({ description: "Only the event of this type, where several have the id." }),
        source: z.string().min(1).optional().meta({ description: "Only the CloudEvent of this source, where several have the id." }),
      }),
      answers: {
        200: answer("the explanation; `notes` says what it can't know", eventAnswer),
        404: "not among the events that were looked at",
      },
      handle: async ({ params: { id }, query: { since = null, type = null, source = null } }) => ({
        status: 200,
        body: await explain.event({ id, since, type, source }),
      }),
    }),
    route({
      method: "POST",
      url: "/v1/deliveries/:id/resend",
      access: "admin",
      summary: "Sends a delivery of the last days again, whatever became of it. Logged, not counted.",
      params: z.object({ id: deliveryId }),
      answers: { 202: answer("on its way", resent), 404: "no such delivery, or its event is not in the stream any more", 503: NOT_STORED },
      async handle({ params: { id } }) {
        return { status: 202, body: { delivery_id: id, resend_id: await resend(id) } };
      },
    }),
  ];
}
