/** Past status events. */
import { z } from "zod";
import { AT, next, time } from "./common.ts";

/** Loose, because schemas/<type>.json describes the data of each type. */
export const statusEventPage = z
  .strictObject({
    items: z.array(
      z
        .strictObject({
          sequence: z.int().min(1).meta({ description: "Its number in the stream." }),
          specversion: z.literal("1.0"),
          id: z.string(),
          source: z.string(),
          type: z.string(),
          time,
          subject: z.string(),
          datacontenttype: z.literal("application/json"),
          data: z.looseObject({ app: z.string() }),
        })
        .meta({ id: "StatusEventItem", description: "A status event (CloudEvents 1.0)." }),
    ),
    next,
  })
  .meta({
    id: "StatusEventPage",
    description: "A page of status events.",
    example: {
      items: [
        {
          ...{ sequence: 7, specversion: "1.0", id: "acme-tracker:1", source: "/posthorn/app-platform", type: "circuit.closed", time: AT },
          ...{ subject: "acme-tracker", datacontenttype: "application/json" },
          data: { app: "acme-tracker", previous_state: "half_open", state: "closed", reason: null, open_until: null, dashboard_url: null },
        },
      ],
      next: null,
    },
  });
