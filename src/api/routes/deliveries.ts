/** /v1/deliveries/{id} and /v1/events/{id}: explains deliveries and events, and resends deliveries. */
import { z } from "zod";
import type { Resend } from "../../dead-letters/resend.ts";
import { deliveryAnswer, eventAnswer } from "../../explain/answer-schemas.ts";
import type { Explain } from "../../explain/explain.ts";
import { seesEverything } from "../../explain/viewer.ts";
import { stringifyWithRaw } from "../../model/raw-json.ts";
import { slugParameter } from "../../registry/records.ts";
import { answer, jsonText, NOT_STORED, type Route, route } from "../http/route.ts";
import { resent } from "../schemas/events.ts";
import { deliveryId, eventType, time } from "../schemas/parameters.ts";

export function deliveryRoutes({ explain, resend }: { explain: Explain; resend: Resend }): Route[] {
  return [
    route({
      operationId: "explainDelivery",
      method: "GET",
      url: "/v1/deliveries/:id",
      access: "read",
      forApp: true,
      forOrganization: "read",
      summary: "Explains a delivery: its attempts, where it is now, when the next attempt is due. Its id is the webhook-id header.",
      params: z.object({ id: deliveryId }),
      answers: { 200: answer("the explanation; `notes` lists its limits", deliveryAnswer), 404: "nothing is known about it any more" },
      handle: async ({ params: { id }, caller }) => jsonText(stringifyWithRaw(await explain.delivery(id, caller))),
    }),
    route({
      operationId: "explainEvent",
      method: "GET",
      url: "/v1/events/:id",
      access: "read",
      forApp: true,
      forOrganization: "read",
      summary:
        "Explains an event: which installations of its organization wanted it, which did not and why, and the state of each delivery. Of several events with the id, the newest comes first. To an app's own token an event exists only if one of the app's installations wanted it, and other apps are left out; to an organization's token, only if it is the organization's.",
      params: z.object({ id: z.string().min(1).meta({ example: "evt-1" }) }),
      query: z.object({
        since: time.optional().meta({
          description: "Where to start the search for an event without deliveries; when absent, the newest events are searched.",
        }),
        type: eventType.optional().meta({ description: "Only the event of this type, when several have the id." }),
        app: slugParameter.optional().meta({ description: "Only this app: its deliveries, or why it has none." }),
        source: z.string().min(1).optional().meta({ description: "Only the CloudEvent of this source, when several have the id." }),
      }),
      answers: {
        200: answer("the explanation; `notes` lists its limits", eventAnswer),
        404: "not among the events that were searched",
      },
      async handle({ params: { id }, query: { since = null, type = null, source = null, app = null }, caller }) {
        return jsonText(stringifyWithRaw(await explain.event({ id, since, type, source, app }, caller)));
      },
    }),
    route({
      operationId: "resendDelivery",
      method: "POST",
      url: "/v1/deliveries/:id/resend",
      access: "admin",
      forApp: "act",
      forOrganization: "act",
      summary:
        "Resends a delivery of the last days, whatever its state, in place of its dead letter. The attempts are logged but not counted.",
      params: z.object({ id: deliveryId }),
      answers: {
        202: answer("stored for delivery", resent),
        404: "no such delivery, or its event is not in the stream any more",
        503: NOT_STORED,
      },
      async handle({ params: { id }, caller }) {
        // Deliveries of another app or organization are not found.
        if (!seesEverything(caller)) await explain.delivery(id, caller);
        return { status: 202, body: { delivery_id: id, resend_id: await resend(id) } };
      },
    }),
  ];
}
