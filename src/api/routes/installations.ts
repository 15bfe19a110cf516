/** /v1/installations */

import { randomUUID } from "node:crypto";
import { z } from "zod";
import { INSTALLATION_STATUSES } from "../../model/app.ts";
import { AppError } from "../../model/app-error.ts";
import type { InstallationRecord } from "../../model/stored-records.ts";
import { toInstallation } from "../../registry/opened-records.ts";
import type { PutResult } from "../../registry/record-access.ts";
import { NO_PRECONDITION } from "../../registry/record-tag.ts";
import { installationBody, installationPatch, newInstallationBody, slugParameter, uuidParameter } from "../../registry/records.ts";
import type { Registry } from "../../registry/registry.ts";
import type { RegistryIndex } from "../../registry/registry-index.ts";
import type { SecretBox } from "../../registry/secret-box.ts";
import type { QueryHealth } from "../../status/integration-health.ts";
import { answer, NOT_STORED, type Route, route } from "../http/route.ts";
import type { StatusChanger } from "../ports.ts";
import { integrationHealth } from "../schemas/health.ts";
import { limit } from "../schemas/parameters.ts";
import { etag, installationView, invalidView, preconditionOf, type View, viewFor } from "../schemas/records.ts";
import { discarded, installation, installationPage } from "../schemas/schemas.ts";

const params = z.object({ uuid: uuidParameter });

export interface InstallationRoutesDependencies {
  readonly registry: Registry;
  readonly index: RegistryIndex;
  readonly secretBox: SecretBox;
  readonly statusChanger: StatusChanger;
  readonly queryHealth: QueryHealth;
  readonly maxPageSize: number;
}

const DUPLICATE = "the app is installed in this organization already, and allow_duplicate is not true";

export function installationRoutes(dependencies: InstallationRoutesDependencies): Route[] {
  const { registry, index, secretBox, statusChanger, queryHealth, maxPageSize } = dependencies;
  const shown = async (uuid: string, view: View): Promise<{ status: number; body: object; headers: Record<string, string> }> => {
    const { record, tag, problem } = await registry.getInstallation(uuid);
    const body = { ...installationView(toInstallation(record, secretBox), view), ...invalidView(problem) };
    return { status: 200, body, headers: { etag: etag(tag) } };
  };
  const written = ({ record, tag, created }: PutResult<InstallationRecord>, view: View) => ({
    status: created ? 201 : 200,
    body: installationView(toInstallation(record, secretBox), view),
    headers: { etag: etag(tag), ...(created ? { location: `/v1/installations/${record.uuid}` } : {}) },
  });

  return [
    route({
      method: "PUT",
      url: "/v1/installations/:uuid",
      access: "admin",
      summary:
        "Installs an app in an organization, or replaces the installation's organization, projects and URL: one that is absent has its default.",
      params,
      body: installationBody,
      record: true,
      answers: {
        200: answer("replaced", installation),
        201: answer("made", installation),
        409: `it is an installation of another app, or ${DUPLICATE}`,
        412: "If-Match or If-None-Match",
      },
      example: { app: "acme-tracker", organization_id: "42", project_ids: ["7"] },
      async handle({ params: { uuid }, body, headers, ...call }) {
        return written(await registry.putInstallation(uuid, body, preconditionOf(headers)), viewFor(call));
      },
    }),
    route({
      method: "POST",
      url: "/v1/installations",
      access: "admin",
      summary: "Installs an app in an organization under a uuid that Posthorn makes.",
      body: newInstallationBody,
      record: true,
      answers: { 201: answer("made", installation), 409: DUPLICATE },
      example: { app: "acme-tracker", organization_id: "42", project_ids: ["7"] },
      async handle({ body, ...call }) {
        return written(await registry.putInstallation(randomUUID(), body, NO_PRECONDITION), viewFor(call));
      },
    }),
    route({
      method: "PATCH",
      url: "/v1/installations/:uuid",
      access: "admin",
      summary: "Changes what is named (JSON merge patch) and leaves the rest as it is; null is the default.",
      params,
      body: installationPatch,
      rawPatch: true,
      record: true,
      answers: {
        200: answer("the installation as it is now", installation),
        409: `it is an installation of another app, or ${DUPLICATE}`,
        412: "If-Match",
      },
      example: { project_ids: ["7", "8"], webhook_url: null },
      async handle({ params: { uuid }, body, headers, ...call }) {
        return written(await registry.patchInstallation(uuid, body, preconditionOf(headers)), viewFor(call));
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
      handle: ({ params: { uuid }, ...call }) => shown(uuid, viewFor(call)),
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
        status: z.enum(INSTALLATION_STATUSES).optional(),
        limit: limit(100, maxPageSize),
        after: uuidParameter.optional().meta({ description: "`next` of the page before." }),
      }),
      answers: { 200: answer("a page of installations", installationPage), 404: "no such app" },
      handle({ query: { app, organization_id: organizationId, status, limit: size, after = "" }, ...call }) {
        if (app !== undefined && index.app(app) === undefined) throw new AppError("NOT_FOUND", `no app ${app}`);
        const candidates = organizationId === undefined ? index.installations() : index.installationsOf(organizationId);
        const wanted = [...candidates].filter(
          (candidate) =>
            candidate.uuid > after && candidate.app === (app ?? candidate.app) && candidate.status === (status ?? candidate.status),
        );
        wanted.sort((a, b) => (a.uuid < b.uuid ? -1 : 1));
        const items = wanted.slice(0, size);
        const view = viewFor(call);
        return {
          status: 200,
          body: { items: items.map((one) => installationView(one, view)), next: wanted.length > size ? items.at(-1)?.uuid : null },
        };
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
      async handle({ params: { uuid }, headers, ...call }) {
        await statusChanger.enable(uuid, preconditionOf(headers));
        return shown(uuid, viewFor(call));
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
      async handle({ params: { uuid }, headers, ...call }) {
        await statusChanger.disable(uuid, preconditionOf(headers));
        return shown(uuid, viewFor(call));
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
      async handle({ params: { uuid }, headers, ...call }) {
        const { discarded: count, inFlight } = await statusChanger.discardBacklog(uuid, preconditionOf(headers));
        return { ...(await shown(uuid, viewFor(call))), body: { discarded: count, ...(inFlight > 0 ? { in_flight: inFlight } : {}) } };
      },
    }),
  ];
}
