/** The answer about the caller's session. */
import { z } from "zod";

export const session = z
  .strictObject({
    scope: z.enum(["admin", "read", "app"]).meta({ description: "Scope of the caller's token; admin when no tokens are set." }),
    app: z.string().nullable().meta({ description: "The app of an app token." }),
    version: z.string(),
    trace_url: z.string().nullable().meta({ description: "POSTHORN_TRACE_URL, which contains `{trace_id}`." }),
  })
  .meta({
    id: "Session",
    description: "What the caller's token may do.",
    example: { scope: "admin", app: null, version: "1.2.3", trace_url: "https://jaeger.example/trace/{trace_id}" },
  });
