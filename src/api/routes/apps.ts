/** /v1/apps */
import { z } from "zod";
import { toRfc3339 } from "../../model/clock.ts";
import type { AppTokens } from "../../registry/app-tokens.ts";
import { toApp } from "../../registry/opened-records.ts";
import { appBody, appPatch, slugParameter } from "../../registry/records.ts";
import type { Registry } from "../../registry/registry.ts";
import type { RegistryIndex } from "../../registry/registry-index.ts";
import type { SecretBox } from "../../registry/secret-box.ts";
import { answer, type Route, route } from "../http/route.ts";
import { limit } from "../schemas/parameters.ts";
import { appView, etag, invalidView, preconditionOf, viewFor, webhookSecret } from "../schemas/records.ts";
import { app, appPage, appToken, madeApp, rotatedSecret } from "../schemas/schemas.ts";

const params = z.object({ slug: slugParameter });

export interface AppRoutesDependencies {
  readonly registry: Registry;
  readonly index: RegistryIndex;
  readonly secretBox: SecretBox;
  readonly appTokens: AppTokens;
  readonly maxPageSize: number;
}

export function appRoutes({ registry, index, secretBox, appTokens, maxPageSize }: AppRoutesDependencies): Route[] {
  return [
    route({
      method: "PUT",
      url: "/v1/apps/:slug",
      access: "admin",
      summary:
        "Makes or replaces an app: a member that is absent has its default, and the client secret stays. The answer that makes it is the only one with its secrets.",
      params,
      body: appBody,
      record: true,
      answers: {
        200: answer("replaced", app),
        201: answer("made; client_secret and webhook_secret are in the answer", madeApp),
        412: "If-Match or If-None-Match",
      },
      example: { name: "Acme Tracker", webhook_url: "https://hooks.acme.example/sentry", events: ["issue", "metric_alert.*"] },
      async handle({ params: { slug }, body, headers, ...call }) {
        const { record, tag, created, clientSecret } = await registry.putApp(slug, body, preconditionOf(headers));
        const secrets = clientSecret === null ? {} : { client_secret: clientSecret, webhook_secret: webhookSecret(clientSecret) };
        return {
          status: created ? 201 : 200,
          body: { ...appView(toApp(record, secretBox), viewFor(call)), ...secrets },
          headers: { etag: etag(tag), ...(created ? { location: `/v1/apps/${slug}` } : {}) },
        };
      },
    }),
    route({
      method: "PATCH",
      url: "/v1/apps/:slug",
      access: "admin",
      summary: "Changes what is named (JSON merge patch) and leaves the rest as it is; null is the default.",
      params,
      body: appPatch,
      rawPatch: true,
      record: true,
      answers: { 200: answer("the app as it is now", app), 412: "If-Match" },
      example: { events: ["issue", "comment.created"], timeout_ms: null, headers: { "X-Team": null } },
      async handle({ params: { slug }, body, headers, ...call }) {
        const { record, tag } = await registry.patchApp(slug, body, preconditionOf(headers));
        return { status: 200, body: appView(toApp(record, secretBox), viewFor(call)), headers: { etag: etag(tag) } };
      },
    }),
    route({
      method: "GET",
      url: "/v1/apps/:slug",
      access: "read",
      forApp: true,
      summary: "One app.",
      params,
      record: true,
      answers: { 200: answer("the app", app), 304: "If-None-Match" },
      async handle({ params: { slug }, ...call }) {
        const { record, tag, problem } = await registry.getApp(slug);
        const body = { ...appView(toApp(record, secretBox), viewFor(call)), ...invalidView(problem) };
        return { status: 200, body, headers: { etag: etag(tag) } };
      },
    }),
    route({
      method: "DELETE",
      url: "/v1/apps/:slug",
      access: "admin",
      summary: "Removes an app and its installations; what waits for them goes to dead letters.",
      params,
      record: true,
      answers: { 204: "removed", 412: "If-Match" },
      async handle({ params: { slug }, headers }) {
        await registry.deleteApp(slug, preconditionOf(headers));
        return { status: 204 };
      },
    }),
    route({
      method: "GET",
      url: "/v1/apps",
      access: "read",
      summary: "Apps by slug.",
      query: z.object({
        limit: limit(100, maxPageSize),
        after: slugParameter.optional().meta({ description: "`next` of the page before." }),
      }),
      answers: { 200: answer("a page of apps", appPage) },
      handle({ query: { limit: size, after }, ...call }) {
        const all = [...index.apps()].sort((a, b) => (a.slug < b.slug ? -1 : 1));
        const from = after === undefined ? all : all.filter(({ slug }) => slug > after);
        const items = from.slice(0, size);
        const view = viewFor(call);
        return {
          status: 200,
          body: { items: items.map((one) => appView(one, view)), next: from.length > size ? items.at(-1)?.slug : null },
        };
      },
    }),
    route({
      method: "POST",
      url: "/v1/apps/:slug/secret/rotate",
      access: "admin",
      summary: "Makes a new client secret. Webhooks carry both signatures until previous_valid_until.",
      params,
      answers: { 200: answer("the new secret", rotatedSecret) },
      async handle({ params: { slug } }) {
        const { clientSecret, previousValidUntil } = await registry.rotateSecret(slug);
        return {
          status: 200,
          body: {
            slug,
            client_secret: clientSecret,
            webhook_secret: webhookSecret(clientSecret),
            previous_valid_until: previousValidUntil,
          },
        };
      },
    }),
    route({
      method: "POST",
      url: "/v1/apps/:slug/tokens",
      access: "admin",
      summary: "Makes a short-lived token for the app's own developer, valid until it expires or the client secret is replaced.",
      params,
      body: z
        .strictObject({
          ttl_s: z.int().min(1).nullish().meta({ description: "Seconds; an hour when not given, POSTHORN_APP_TOKEN_MAX_TTL at most." }),
        })
        .default({}),
      answers: { 201: answer("the token, which is shown only here", appToken) },
      example: { ttl_s: 3600 },
      async handle({ params: { slug }, body }) {
        const { token, expiresAt } = await appTokens.issue(slug, body.ttl_s ?? null);
        return { status: 201, body: { app: slug, token, expires_at: toRfc3339(expiresAt) } };
      },
    }),
  ];
}
