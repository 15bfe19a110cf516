/** Tokens of apps and organizations, and links that sign in with one. */
import { z } from "zod";
import { TOKEN_SCOPES } from "../../model/token-scope.ts";
import { identifier } from "../../registry/record-texts.ts";
import { slugParameter } from "../../registry/records.ts";
import { time } from "./common.ts";

export const tokenScope = z.enum(TOKEN_SCOPES).meta({
  id: "TokenScope",
  description: "read: look and explain. act: also test, replay and resend. manage: also change what belongs to the app's developer.",
});

const name = z
  .string()
  .regex(/^[^\p{Cc}]{1,64}$/u, "wanted 1 to 64 characters without control characters")
  .nullish()
  .meta({ description: "The holder's name, as the audit log shows it." });

export const tokenBody = z
  .strictObject({
    scope: tokenScope.default("act"),
    ttl_s: z.int().min(1).nullish().meta({ description: "Seconds; an hour when absent, at most POSTHORN_APP_TOKEN_MAX_TTL." }),
    name,
  })
  .meta({ id: "TokenBody", description: "The scope and the lifetime of a new token." });

const UNIT_S: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3_600, d: 86_400 };

const LIFETIME_WANTED = "wanted seconds, or a duration such as 30m, 8h or 7d";

const lifetime = z
  .union([z.int().min(1), z.string().regex(/^[1-9]\d{0,8}[smhd]$/, LIFETIME_WANTED)], LIFETIME_WANTED)
  .transform((given) => (typeof given === "number" ? given : Number(given.slice(0, -1)) * (UNIT_S[given.slice(-1)] ?? 1)));

export const portalLinkBody = z
  .strictObject({
    app: slugParameter.nullish().meta({ description: "The app; either app or organization_id is given." }),
    organization_id: identifier.nullish().meta({ description: "The organization whose installations the link shows." }),
    scope: tokenScope.default("read"),
    expires_in: lifetime.nullish().meta({
      description: "Seconds, or a duration such as 8h; an hour when absent, at most POSTHORN_APP_TOKEN_MAX_TTL.",
      example: "8h",
    }),
    name,
  })
  .meta({ id: "PortalLinkBody", description: "The owner, the scope and the lifetime of a new link." });

const TOKEN = "phapp_acme-tracker.a..1767611472.c2lnbmF0dXJl";
const EXPIRES_AT = "2026-01-05T11:11:12.000Z";
const members = { scope: tokenScope, expires_at: time };

export const appToken = z.strictObject({ app: z.string(), token: z.string(), ...members }).meta({
  id: "AppToken",
  description: "A token for the app's developer.",
  example: { app: "acme-tracker", token: TOKEN, scope: "act", expires_at: EXPIRES_AT },
});

export const organizationToken = z.strictObject({ organization_id: z.string(), token: z.string(), ...members }).meta({
  id: "OrganizationToken",
  description: "A token for the installations of one organization.",
  example: { organization_id: "42", token: "phorg_NDI.r..1767611472.c2lnbmF0dXJl", scope: "read", expires_at: EXPIRES_AT },
});

export const portalLink = z
  .strictObject({
    url: z.string().meta({ format: "uri", description: "Signs in to the dashboard. It contains the token." }),
    app: z.string().nullable(),
    organization_id: z.string().nullable(),
    ...members,
  })
  .meta({
    id: "PortalLink",
    description: "A link that signs in to the dashboard.",
    example: {
      url: `https://posthorn.example/#/sign-in?token=${TOKEN}`,
      ...{ app: "acme-tracker", organization_id: null, scope: "manage", expires_at: EXPIRES_AT },
    },
  });
