/** Answers to published events and resent deliveries. */
import { z } from "zod";
import { count, DELIVERY_ID, UUID } from "./common.ts";

export const storedEvent = z
  .strictObject({
    id: z.string(),
    type: z.string(),
    stream: z.string(),
    sequence: count,
    duplicate: z.boolean().meta({ description: "An event with this id is stored already; this one was not stored." }),
  })
  .meta({
    id: "StoredEvent",
    example: { id: "evt-1", type: "issue.created", stream: "APP_PLATFORM_EVENTS", sequence: 1, duplicate: false },
  });

export const resent = z
  .strictObject({ delivery_id: z.string(), resend_id: z.string() })
  .meta({ id: "Resent", example: { delivery_id: DELIVERY_ID, resend_id: UUID } });
