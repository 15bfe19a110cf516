/** /v1/apps: the registry's apps. */
import { z } from "zod";
import { toApp } from "../../registry/opened-records.ts";
import { appBody, appPatch, slugParameter } from "../../registry/records.ts";
import type { Registry } from "../../registry/registry.ts";
import type { RegistryIndex } from "../../registry/registry-index.ts";
import type { SecretBox } from "../../registry/secret-box.ts";
import { checkMembers } from "../http/covered.ts";
import { answer, PATCH_TYPES, type Route, route } from "../http/route.ts";
import { app, appPage, madeApp } from "../schemas/apps.ts";
import { createList } from "../schemas/paging.ts";
import { appView, etag, invalidView, preconditionOf, viewFor, webhookSecret } from "../schemas/records.ts";

const list = createList("apps");

const params = z.object({ slug: slugParameter });

/** Members of an app that belong to its developer, who may change them with a token of scope manage. */
const OWN_MEMBERS = ["webhook_url", "events", "headers", "filter"];

export interface AppRoutesDependencies {
  readonly registry: Registry;
  readonly index: RegistryIndex;
  readonly secretBox: SecretBox;
  readonly maxPageSize: number;
}

export function appRoutes({ registry, index, secretBox, maxPageSize }: AppRoutesDependencies): Route[] {
  return [
    route({
      operationId: "createOrReplaceApp",
      method: "PUT",
      url: "/v1/apps/:slug",
      access: "admin",
      summary:
        "Creates or replaces an app: absent members get their defaults, and the client secret stays. Only the answer that creates the app contains its secrets.",
      params,
      body: appBody,
      record: true,
      answers: {
        200: answer("replaced", app),
        201: answer("created; the answer contains client_secret and webhook_secret", madeApp),
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
      operationId: "updateApp",
      method: "PATCH",
      url: "/v1/apps/:slug",
      access: "admin",
      forApp: "manage",
      summary:
        "Changes the members that are given (JSON merge patch); null restores the default. An app's token changes webhook_url, events, headers and filter only.",
      params,
      body: appPatch,
      rawPatch: true,
      accepts: PATCH_TYPES,
      record: true,
      answers: { 200: answer("the changed app", app), 412: "If-Match" },
      example: { events: ["issue", "comment.created"], timeout_ms: null, headers: { "X-Team": null } },
      async handle({ params: { slug }, body, headers, ...call }) {
        checkMembers(call.caller, body, OWN_MEMBERS);
        const { record, tag } = await registry.patchApp(slug, body, preconditionOf(headers));
        return { status: 200, body: appView(toApp(record, secretBox), viewFor(call)), headers: { etag: etag(tag) } };
      },
    }),
    route({
      operationId: "getApp",
      method: "GET",
      url: "/v1/apps/:slug",
      access: "read",
      forApp: true,
      summary: "Shows one app.",
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
      operationId: "deleteApp",
      method: "DELETE",
      url: "/v1/apps/:slug",
      access: "admin",
      summary: "Removes an app and its installations; waiting deliveries go to dead letters.",
      params,
      record: true,
      answers: { 204: "removed", 412: "If-Match" },
      async handle({ params: { slug }, headers }) {
        await registry.deleteApp(slug, preconditionOf(headers));
        return { status: 204 };
      },
    }),
    route({
      operationId: "listApps",
      method: "GET",
      url: "/v1/apps",
      access: "read",
      summary: "Lists apps, newest first.",
      query: z.object(list.query(100, maxPageSize)),
      answers: { 200: answer("a page of apps", appPage) },
      handle({ query, ...call }) {
        const { items, next } = list.page(index.apps(), ({ slug, createdAt }) => ({ at: createdAt ?? 0, key: slug }), query);
        const view = viewFor(call);
        return { status: 200, body: { items: items.map((one) => appView(one, view)), next } };
      },
    }),
  ];
}
