/** Creates tokens of apps and organizations, and links that sign in to the dashboard with one. */
import type { IncomingHttpHeaders } from "node:http";
import { z } from "zod";
import { toRfc3339 } from "../../model/clock.ts";
import { RecordInvalid, slugParameter } from "../../registry/records.ts";
import type { ScopedTokens } from "../../registry/scoped-tokens.ts";
import { answer, type Route, route } from "../http/route.ts";
import { appToken, organizationToken, portalLink, portalLinkBody, tokenBody } from "../schemas/tokens.ts";

export interface TokenRoutesDependencies {
  readonly scopedTokens: ScopedTokens;
  /** POSTHORN_DASHBOARD_URL. */
  readonly publicUrl: string | null;
}

export function tokenRoutes({ scopedTokens, publicUrl }: TokenRoutesDependencies): Route[] {
  return [
    route({
      operationId: "createAppToken",
      method: "POST",
      url: "/v1/apps/:slug/tokens",
      access: "admin",
      summary: "Creates a short-lived token for the app's developer, valid until it expires or the client secret is replaced.",
      params: z.object({ slug: slugParameter }),
      body: tokenBody.default({ scope: "act" }),
      answers: { 201: answer("the token, shown only here", appToken) },
      example: { scope: "manage", ttl_s: 3600 },
      async handle({ params: { slug: app }, body: { scope, ttl_s: ttlS = null, name = null } }) {
        const { token, expiresAt } = await scopedTokens.issue({ app, organizationId: null, scope, name, ttlS, ttlMember: "ttl_s" });
        return { status: 201, body: { app, token, scope, expires_at: toRfc3339(expiresAt) } };
      },
    }),
    route({
      operationId: "createOrganizationToken",
      method: "POST",
      url: "/v1/organizations/:organization_id/tokens",
      access: "admin",
      summary: "Creates a short-lived token for the installations of one organization.",
      params: z.object({ organization_id: z.string().min(1).meta({ description: "The organization's id.", example: "42" }) }),
      body: tokenBody.default({ scope: "act" }),
      answers: { 201: answer("the token, shown only here", organizationToken) },
      example: { scope: "read", ttl_s: 3600 },
      async handle({ params: { organization_id: organizationId }, body: { scope, ttl_s: ttlS = null, name = null } }) {
        const { token, expiresAt } = await scopedTokens.issue({ app: null, organizationId, scope, name, ttlS, ttlMember: "ttl_s" });
        return { status: 201, body: { organization_id: organizationId, token, scope, expires_at: toRfc3339(expiresAt) } };
      },
    }),
    route({
      operationId: "createPortalLink",
      method: "POST",
      url: "/v1/portal-links",
      access: "admin",
      summary: "Creates a link that signs in to the dashboard, for an app or the installations of an organization, until it expires.",
      body: portalLinkBody,
      answers: { 201: answer("the link, shown only here", portalLink), 404: "no such app" },
      example: { app: "acme-tracker", scope: "manage", expires_in: "8h" },
      async handle({ body: { app = null, organization_id: organizationId = null, scope, expires_in: ttlS = null, name = null }, headers }) {
        if ((app === null) === (organizationId === null))
          throw new RecordInvalid("body", [{ path: "app", message: "wanted either app or organization_id" }]);
        const { token, expiresAt } = await scopedTokens.issue({ app, organizationId, scope, name, ttlS, ttlMember: "expires_in" });
        const url = `${publicUrl?.replace(/\/+$/, "") ?? originOf(headers)}/#/sign-in?token=${token}`;
        return { status: 201, body: { url, app, organization_id: organizationId, scope, expires_at: toRfc3339(expiresAt) } };
      },
    }),
  ];
}

/** The server as the caller reaches it. */
function originOf({ host = "localhost" }: IncomingHttpHeaders): string {
  return `http://${host}`;
}
