/** Secrets and tokens of an app. */
import { z } from "zod";
import { toRfc3339 } from "../../model/clock.ts";
import type { AppTokens } from "../../registry/app-tokens.ts";
import { slugParameter } from "../../registry/records.ts";
import type { Registry } from "../../registry/registry.ts";
import { answer, type Route, route } from "../http/route.ts";
import { appToken, rotatedSecret } from "../schemas/apps.ts";
import { webhookSecret } from "../schemas/records.ts";

const params = z.object({ slug: slugParameter });

const tokenBody = z
  .strictObject({
    ttl_s: z.int().min(1).nullish().meta({ description: "Seconds; an hour when absent, at most POSTHORN_APP_TOKEN_MAX_TTL." }),
  })
  .meta({ id: "AppTokenBody", description: "How long the token is valid." })
  .default({});

export interface AppSecretRoutesDependencies {
  readonly registry: Registry;
  readonly appTokens: AppTokens;
}

export function appSecretRoutes({ registry, appTokens }: AppSecretRoutesDependencies): Route[] {
  return [
    route({
      operationId: "rotateAppSecret",
      method: "POST",
      url: "/v1/apps/:slug/secret/rotate",
      access: "admin",
      summary: "Replaces the client secret. Webhooks carry both signatures until previous_valid_until.",
      params,
      answers: { 200: answer("the new secret", rotatedSecret) },
      async handle({ params: { slug } }) {
        const { clientSecret, previousValidUntil } = await registry.rotateSecret(slug);
        const secrets = { client_secret: clientSecret, webhook_secret: webhookSecret(clientSecret) };
        return { status: 200, body: { slug, ...secrets, previous_valid_until: previousValidUntil } };
      },
    }),
    route({
      operationId: "createAppToken",
      method: "POST",
      url: "/v1/apps/:slug/tokens",
      access: "admin",
      summary: "Creates a short-lived token for the app's developer, valid until it expires or the client secret is replaced.",
      params,
      body: tokenBody,
      answers: { 201: answer("the token, shown only here", appToken) },
      example: { ttl_s: 3600 },
      async handle({ params: { slug }, body }) {
        const { token, expiresAt } = await appTokens.issue(slug, body.ttl_s ?? null);
        return { status: 201, body: { app: slug, token, expires_at: toRfc3339(expiresAt) } };
      },
    }),
  ];
}
