/** /v1/installations */
import { z } from "zod";
import { installationBody, slugParameter, uuidParameter } from "../registry/records.ts";
import type { Registry } from "../registry/registry.ts";
import { toInstallation } from "../registry/registry.ts";
import type { RegistryIndex } from "../registry/registry-index.ts";
import { limit } from "./parameters.ts";
import type { StatusChanger } from "./ports.ts";
import { etag, installationView, preconditionOf } from "./records.ts";
import { type Route, route } from "./route.ts";

const params = z.object({ uuid: uuidParameter });

export interface InstallationRoutesDependencies {
  readonly registry: Registry;
  readonly index: RegistryIndex;
  readonly statusChanger: StatusChanger;
  readonly maxPageSize: number;
}

export function installationRoutes({ registry, index, statusChanger, maxPageSize }: InstallationRoutesDependencies): Route[] {
  const shown = async (uuid: string): Promise<{ status: number; body: object; headers: Record<string, string> }> => {
    const { record, revision } = await registry.getInstallation(uuid);
    return { status: 200, body: installationView(toInstallation(record)), headers: { etag: etag(revision) } };
  };

  return [
    route({
      method: "PUT",
      url: "/v1/installations/:uuid",
      access: "admin",
      summary: "Installs an app in an organization, or replaces the installation's organization, projects and URL.",
      params,
      body: installationBody,
      answers: { 200: "replaced", 201: "made", 409: "it is an installation of another app", 412: "If-Match or If-None-Match" },
      example: { app: "acme-tracker", organization_id: "42", project_ids: ["7"] },
      async handle({ params: { uuid }, body, headers }) {
        const { record, revision, created } = await registry.putInstallation(uuid, body, preconditionOf(headers));
        return {
          status: created ? 201 : 200,
          body: installationView(toInstallation(record)),
          headers: { etag: etag(revision), ...(created ? { location: `/v1/installations/${uuid}` } : {}) },
        };
      },
    }),
    route({
      method: "GET",
      url: "/v1/installations/:uuid",
      access: "read",
      summary: "One installation.",
      params,
      answers: { 200: "the installation" },
      handle: ({ params: { uuid } }) => shown(uuid),
    }),
    route({
      method: "DELETE",
      url: "/v1/installations/:uuid",
      access: "admin",
      summary: "Removes an installation; what waits for it goes to dead letters.",
      params,
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
      summary: "Installations by uuid, of one app or organization.",
      query: z.object({
        app: slugParameter.optional(),
        organization_id: z.string().optional(),
        limit: limit(100, maxPageSize),
        after: uuidParameter.optional().meta({ description: "`next` of the page before." }),
      }),
      answers: { 200: "a page of installations" },
      handle({ query: { app, organization_id: organizationId, limit: size, after = "" } }) {
        const candidates = organizationId === undefined ? index.installations() : index.installationsOf(organizationId);
        const wanted = [...candidates].filter(
          (installation) => installation.uuid > after && (app === undefined || installation.app === app),
        );
        wanted.sort((a, b) => (a.uuid < b.uuid ? -1 : 1));
        const items = wanted.slice(0, size);
        return { status: 200, body: { items: items.map(installationView), next: wanted.length > size ? items.at(-1)?.uuid : null } };
      },
    }),
    route({
      method: "POST",
      url: "/v1/installations/:uuid/enable",
      access: "admin",
      summary: "Makes a disabled or broken installation active; what is parked for it is delivered.",
      params,
      answers: { 200: "the installation" },
      async handle({ params: { uuid } }) {
        await statusChanger.enable(uuid);
        return shown(uuid);
      },
    }),
    route({
      method: "POST",
      url: "/v1/installations/:uuid/disable",
      access: "admin",
      summary: "Stops deliveries to the installation; they are parked until it is enabled.",
      params,
      answers: { 200: "the installation" },
      async handle({ params: { uuid } }) {
        await statusChanger.disable(uuid);
        return shown(uuid);
      },
    }),
    route({
      method: "POST",
      url: "/v1/installations/:uuid/discard",
      access: "admin",
      summary: "Sends what is parked for a broken or disabled installation to dead letters, from where it can be replayed.",
      params,
      answers: { 200: "how many deliveries were discarded", 409: "the installation is active" },
      async handle({ params: { uuid } }) {
        return { status: 200, body: { discarded: await statusChanger.discardBacklog(uuid) } };
      },
    }),
  ];
}
