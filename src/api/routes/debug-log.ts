/** Detailed logging of one app or installation for a limited time, on all replicas. */
import { isDeepStrictEqual } from "node:util";
import { z } from "zod";
import { type Clock, toRfc3339 } from "../../model/clock.ts";
import type { Debugged, DebugLog, DebugTarget } from "../../registry/debug-log.ts";
import { slugParameter, uuidParameter } from "../../registry/records.ts";
import type { Registry } from "../../registry/registry.ts";
import { answer, type Route, route } from "../http/route.ts";
import { pageOf, time } from "../schemas/common.ts";
import { createList, type Position } from "../schemas/paging.ts";

const list = createList("debug-log");

const slug = z.object({ slug: slugParameter });
const uuid = z.object({ uuid: uuidParameter });

const body = z
  .strictObject({
    for_s: z.int().min(1).max(86_400).default(900).meta({ description: "Seconds until it ends automatically." }),
  })
  .meta({ id: "DebugLogBody", description: "How long it is logged in detail." })
  .default({ for_s: 900 });

const EXAMPLE = { app: "acme-tracker", until: "2026-01-05T10:26:12.345Z" };
const logged = z
  .object({
    app: z.string().optional(),
    installation_uuid: z.string().optional(),
    until: time,
  })
  .meta({ id: "Debugged", description: "The app that is logged in detail, and until when.", example: EXAMPLE });
const loggedPage = pageOf(logged, "DebuggedPage", "debug-log.1767607872345.acme-tracker");

export interface DebugLogRoutesDependencies {
  readonly debugLog: DebugLog;
  readonly registry: Registry;
  readonly clock: Clock;
}

export function debugLogRoutes({ debugLog, registry, clock }: DebugLogRoutesDependencies): Route[] {
  const switchOn = async (target: DebugTarget, forS: number) => {
    const until = clock.now() + forS * 1000;
    await debugLog.switchOn(target, until);
    return { status: 200, body: debugView({ target, until }) };
  };

  /** A removed app or installation can still be logged in detail. */
  const isOn = (target: DebugTarget): boolean => debugLog.list().some((logged) => isDeepStrictEqual(logged.target, target));

  return [
    route({
      operationId: "startAppDebugLog",
      method: "PUT",
      url: "/v1/apps/:slug/debug-log",
      access: "admin",
      summary: "Logs an app's deliveries in detail for a limited time, with headers and bodies, on all replicas.",
      params: slug,
      body,
      answers: { 200: answer("the target, and until when it is logged in detail", logged) },
      example: { for_s: 900 },
      async handle({ params, body: { for_s: forS } }) {
        await registry.getApp(params.slug);
        return switchOn({ app: params.slug }, forS);
      },
    }),
    route({
      operationId: "stopAppDebugLog",
      method: "DELETE",
      url: "/v1/apps/:slug/debug-log",
      access: "admin",
      summary: "Stops the detailed logging of an app.",
      params: slug,
      answers: { 204: "off" },
      async handle({ params }) {
        if (!isOn({ app: params.slug })) await registry.getApp(params.slug);
        await debugLog.switchOff({ app: params.slug });
        return { status: 204 };
      },
    }),
    route({
      operationId: "startInstallationDebugLog",
      method: "PUT",
      url: "/v1/installations/:uuid/debug-log",
      access: "admin",
      summary: "Logs an installation's deliveries in detail for a limited time, with headers and bodies, on all replicas.",
      params: uuid,
      body,
      answers: { 200: answer("the target, and until when it is logged in detail", logged) },
      example: { for_s: 900 },
      async handle({ params, body: { for_s: forS } }) {
        await registry.getInstallation(params.uuid);
        return switchOn({ installationUuid: params.uuid }, forS);
      },
    }),
    route({
      operationId: "stopInstallationDebugLog",
      method: "DELETE",
      url: "/v1/installations/:uuid/debug-log",
      access: "admin",
      summary: "Stops the detailed logging of an installation.",
      params: uuid,
      answers: { 204: "off" },
      async handle({ params }) {
        if (!isOn({ installationUuid: params.uuid })) await registry.getInstallation(params.uuid);
        await debugLog.switchOff({ installationUuid: params.uuid });
        return { status: 204 };
      },
    }),
    route({
      operationId: "listDebugLog",
      method: "GET",
      url: "/v1/debug-log",
      access: "read",
      summary: "Lists the apps and installations that are logged in detail, those that end last first.",
      query: z.object(list.query()),
      answers: { 200: answer("a page of the targets", loggedPage) },
      handle({ query }) {
        const { items, next } = list.page(debugLog.list(), positionOf, query);
        return { status: 200, body: { items: items.map(debugView), next } };
      },
    }),
  ];
}

function positionOf({ target, until }: Debugged): Position {
  return { at: until, key: "app" in target ? target.app : target.installationUuid };
}

function debugView({ target, until }: Debugged): z.output<typeof logged> {
  const of = "app" in target ? target : { installation_uuid: target.installationUuid };
  return { ...of, until: toRfc3339(until) };
}
