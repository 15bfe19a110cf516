/** The secret of an app. */
import { z } from "zod";
import { slugParameter } from "../../registry/records.ts";
import type { Registry } from "../../registry/registry.ts";
import { answer, type Route, route } from "../http/route.ts";
import { rotatedSecret } from "../schemas/apps.ts";
import { webhookSecret } from "../schemas/records.ts";

const params = z.object({ slug: slugParameter });

export interface AppSecretRoutesDependencies {
  readonly registry: Registry;
}

export function appSecretRoutes({ registry }: AppSecretRoutesDependencies): Route[] {
  return [
    route({
      operationId: "rotateAppSecret",
      method: "POST",
      url: "/v1/apps/:slug/secret/rotate",
      access: "admin",
      forApp: "manage",
      summary:
        "Replaces the client secret, which revokes all tokens of the app. Webhooks carry both signatures until previous_valid_until.",
      params,
      answers: { 200: answer("the new secret", rotatedSecret) },
      async handle({ params: { slug } }) {
        const { clientSecret, previousValidUntil } = await registry.rotateSecret(slug);
        const secrets = { client_secret: clientSecret, webhook_secret: webhookSecret(clientSecret) };
        return { status: 200, body: { slug, ...secrets, previous_valid_until: previousValidUntil } };
      },
    }),
  ];
}
