/** /v1/installations */
import { z } from "zod";
import { AppError } from "../model/app-error.ts";
import { installationBody, slugParameter, uuidParameter } from "../registry/records.ts";
import type { Registry } from "../registry/registry.ts";
import { toInstallation } from "../registry/registry.ts";
import type { RegistryIndex } from "../registry/registry-index.ts";
import type { QueryHealth } from "../status/integration-health.ts";
import { integrationHealth } from "./health-form.ts";
import { limit } from "./parameters.ts";
import type { StatusChanger } from "./ports.ts";
import { etag, installationView, preconditionOf } from "./records.ts";
import { answer, NOT_STORED, type Route, route } from "./route.ts";
import { discarded, installation, installationPage } from "./schemas.ts";

const params = z.object({ uuid: uuidParameter });

export interface InstallationRoutesDependencies {
  readonly registry: Registry;
  readonly index: RegistryIndex;
  readonly statusChanger: StatusChanger;
  readonly queryHealth: QueryHealth;
  readonly maxPageSize: number;
}

export function installationRoutes({ registry, index, statusChanger, queryHealth, maxPageSize }: InstallationRoutesDependencies): Route[] {
  const shown = async (uuid: string): Promise<{ status: number; body: object; headers: Record<string, string> }> => {
    const { record, tag } = await registry.getInstallation(uuid);
    return { status: 200, body: installationView(toInstallation(record)), headers: { etag: etag(tag) } };
  };

  return [
    route({
      method: "PUT",
      url: "/v1/installations/:uuid",
      access: "admin",
      summary: "Installs an app in an organization, or replaces the installation's organization, projects and URL.",
      params,
      body: installationBody,
      record: true,
      answers: {
        200: answer("replaced", installation),
        201: answer("made", installation),
        409: "it is an installation of another app",
        412: "If-Match or If-None-Match",
      },
      example: { app: "acme-tracker", organization_id: "42", project_ids: ["7"] },
      async handle({ params: { uuid }, body, headers }) {
        const { record, tag, created } = await registry.putInstallation(uuid, body, preconditionOf(headers));
        return {
          status: created ? 201 : 200,
          body: installationView(toInstallation(record)),
          headers: { etag: etag(tag), ...(created ? { location: `/v1/installations/${uuid}` } : {}) },
        };
      },
    }),
    route({
      method: "GET",
      url: "/v1/installations/:uuid",
      access: "read",
      summary: "One installation.",
      params,
      record: true,
      answers: { 200: answer("the installation", installation), 304: "If-None-Match" },
      handle: ({ params: { uuid } }) => shown(uuid),
    }),
    route({
      method: "DELETE",
      url: "/v1/installations/:uuid",
      access: "admin",
      summary: "Removes an installation; what waits for it goes to dead letters.",
      params,
      record: true,
      answers: { 204: "removed", 412: "If-Match" },
      async handle({ params: { uuid }, headers }) {
        await registry.deleteInstallation(uuid, preconditionOf(headers));
        return { status: 204 };
      },
    }),
    route({
      method: "GET",
      url: "/v1/installations",
      access: "read",
      summary: "Installations by uuid: all, or those of an app, an organization or a status.",
      query: z.object({
        app: slugParameter.optional(),
        organization_id: z.string().min(1).optional(),
        status: z.enum(["active", "broken", "disabled"]).optional(),
        limit: limit(100, maxPageSize),
        after: uuidParameter.optional().meta({ description: "`next` of the page before." }),
      }),
      answers: { 200: answer("a page of installations", installationPage), 404: "no such app" },
      handle({ query: { app, organization_id: organizationId, status, limit: size, after = "" } }) {
        if (app !== undefined && index.app(app) === undefined) throw new AppError("NOT_FOUND", `no app ${app}`);
        const candidates = organizationId === undefined ? index.installations() : index.installationsOf(organizationId);
        const wanted = [...candidates].filter(
          (candidate) =>
            candidate.uuid > after && candidate.app === (app ?? candidate.app) && candidate.status === (status ?? candidate.status),
        );
        wanted.sort((a, b) => (a.uuid < b.uuid ? -1 : 1));
        const items = wanted.slice(0, size);
        return { status: 200, body: { items: items.map(installationView), next: wanted.length > size ? items.at(-1)?.uuid : null } };
      },
    }),
    route({
      method: "GET",
      url: "/v1/installations/:uuid/health",
      access: "read",
      summary: "Why an installation has its status, its counters of the last days, and how much of what was parked still waits.",
      params,
      answers: { 200: answer("its health", integrationHealth) },
      handle: async ({ params: { uuid } }) => ({ status: 200, body: await queryHealth(uuid) }),
    }),
    route({
      method: "POST",
      url: "/v1/installations/:uuid/enable",
      access: "admin",
      summary: "Makes a disabled or broken installation active; what is parked for it is delivered. An active one stays as it is.",
      params,
      record: true,
      answers: { 200: answer("the installation", installation), 412: "If-Match" },
      async handle({ params: { uuid }, headers }) {
        await statusChanger.enable(uuid, preconditionOf(headers));
        return shown(uuid);
      },
    }),
    route({
      method: "POST",
      url: "/v1/installations/:uuid/disable",
      access: "admin",
      summary: "Stops deliveries to the installation; they are parked until it is enabled.",
      params,
      record: true,
      answers: { 200: answer("the installation", installation), 412: "If-Match" },
      async handle({ params: { uuid }, headers }) {
        await statusChanger.disable(uuid, preconditionOf(headers));
        return shown(uuid);
      },
    }),
    route({
      method: "POST",
      url: "/v1/installations/:uuid/discard",
      access: "admin",
      summary: "Sends what is parked for a broken or disabled installation to dead letters, from where it can be replayed.",
      params,
      record: true,
      answers: {
        200: answer("how many deliveries were discarded", discarded),
        409: "the installation is active",
        412: "If-Match",
        503: NOT_STORED,
      },
      async handle({ params: { uuid }, headers }) {
        const { discarded: count, inFlight } = await statusChanger.discardBacklog(uuid, preconditionOf(headers));
        return { ...(await shown(uuid)), body: { discarded: count, ...(inFlight > 0 ? { in_flight: inFlight } : {}) } };
      },
    }),
  ];
}
