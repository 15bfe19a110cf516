/** The answer about the caller's session. */
import { z } from "zod";
import { time } from "./common.ts";
import { tokenScope } from "./tokens.ts";

export const session = z
  .strictObject({
    scope: z
      .enum(["admin", "read", "app", "organization"])
      .meta({ description: "Scope of the caller's token; admin when no tokens are set." }),
    app: z.string().nullable().meta({ description: "The app of an app token." }),
    organization_id: z.string().nullable().meta({ description: "The organization of an organization token." }),
    may: z.array(tokenScope).meta({ description: "The actions that the token allows on the data that it covers." }),
    name: z.string().meta({ description: "The name under which changes with this token are in the audit log." }),
    expires_at: time.nullable().meta({ description: "Null: the token does not expire." }),
    version: z.string(),
    trace_url: z.string().nullable().meta({ description: "POSTHORN_TRACE_URL, which contains `{trace_id}`." }),
  })
  .meta({
    id: "Session",
    description: "The caller's token: its reach, its actions and its end.",
    example: {
      scope: "admin",
      app: null,
      organization_id: null,
      may: ["read", "act", "manage"],
      name: "ops",
      expires_at: null,
      version: "1.2.3",
      trace_url: "https://jaeger.example/trace/{trace_id}",
    },
  });
