/** /v1/installations: where apps are installed. */
import { randomUUID } from "node:crypto";
import { z } from "zod";
import { AppError } from "../../model/app-error.ts";
import type { InstallationRecord } from "../../model/stored-records.ts";
import { toInstallation } from "../../registry/opened-records.ts";
import type { PutResult } from "../../registry/record-access.ts";
import { NO_PRECONDITION } from "../../registry/record-tag.ts";
import { installationBody, installationPatch, newInstallationBody, slugParameter, uuidParameter } from "../../registry/records.ts";
import type { RegistryIndex } from "../../registry/registry-index.ts";
import { checkMembers } from "../http/covered.ts";
import { answer, PATCH_TYPES, type Route, route } from "../http/route.ts";
import { installationStatus } from "../schemas/common.ts";
import { installation, installationPage } from "../schemas/installations.ts";
import { createList } from "../schemas/paging.ts";
import { etag, installationView, positionOfInstallation, preconditionOf, type View, viewFor } from "../schemas/records.ts";
import { createShowInstallation, type ShowInstallationDependencies } from "./show-installation.ts";

const list = createList("installations");

const params = z.object({ uuid: uuidParameter });

export interface InstallationRoutesDependencies extends ShowInstallationDependencies {
  readonly index: RegistryIndex;
  readonly maxPageSize: number;
}

/** An organization's token does not move an installation to another organization. */
const OWN_MEMBERS = ["project_ids", "webhook_url"];

const DUPLICATE = "the app is already installed in this organization, and allow_duplicate is not true";

export function installationRoutes(dependencies: InstallationRoutesDependencies): Route[] {
  const { registry, secretBox } = dependencies;
  const show = createShowInstallation(dependencies);
  const written = ({ record, tag, created }: PutResult<InstallationRecord>, view: View) => ({
    status: created ? 201 : 200,
    body: installationView(toInstallation(record, secretBox), view),
    headers: { etag: etag(tag), ...(created ? { location: `/v1/installations/${record.uuid}` } : {}) },
  });

  return [
    route({
      operationId: "createOrReplaceInstallation",
      method: "PUT",
      url: "/v1/installations/:uuid",
      access: "admin",
      summary:
        "Installs an app in an organization, or replaces the installation's organization, projects and URL: absent members get their defaults.",
      params,
      body: installationBody,
      record: true,
      answers: {
        200: answer("replaced", installation),
        201: answer("created", installation),
        409: `it is an installation of another app, or ${DUPLICATE}`,
        412: "If-Match or If-None-Match",
      },
      example: { app: "acme-tracker", organization_id: "42", project_ids: ["7"] },
      async handle({ params: { uuid }, body, headers, ...call }) {
        return written(await registry.putInstallation(uuid, body, preconditionOf(headers)), viewFor(call));
      },
    }),
    route({
      operationId: "createInstallation",
      method: "POST",
      url: "/v1/installations",
      access: "admin",
      summary: "Installs an app in an organization under a generated uuid.",
      body: newInstallationBody,
      record: true,
      answers: { 201: answer("created", installation), 409: DUPLICATE },
      example: { app: "acme-tracker", organization_id: "42", project_ids: ["7"] },
      async handle({ body, ...call }) {
        return written(await registry.putInstallation(randomUUID(), body, NO_PRECONDITION), viewFor(call));
      },
    }),
    route({
      operationId: "updateInstallation",
      method: "PATCH",
      url: "/v1/installations/:uuid",
      access: "admin",
      forOrganization: "manage",
      summary: "Changes the members that are given (JSON merge patch); null restores the default.",
      params,
      body: installationPatch,
      rawPatch: true,
      accepts: PATCH_TYPES,
      record: true,
      answers: {
        200: answer("the changed installation", installation),
        409: `it is an installation of another app, or ${DUPLICATE}`,
        412: "If-Match",
      },
      example: { project_ids: ["7", "8"], webhook_url: null },
      async handle({ params: { uuid }, body, headers, ...call }) {
        checkMembers(call.caller, body, OWN_MEMBERS);
        return written(await registry.patchInstallation(uuid, body, preconditionOf(headers)), viewFor(call));
      },
    }),
    route({
      operationId: "getInstallation",
      method: "GET",
      url: "/v1/installations/:uuid",
      access: "read",
      forApp: true,
      forOrganization: "read",
      summary: "Shows one installation.",
      params,
      record: true,
      answers: { 200: answer("the installation", installation), 304: "If-None-Match" },
      handle: ({ params: { uuid }, ...call }) => show(uuid, viewFor(call)),
    }),
    route({
      operationId: "deleteInstallation",
      method: "DELETE",
      url: "/v1/installations/:uuid",
      access: "admin",
      summary: "Removes an installation; waiting deliveries go to dead letters.",
      params,
      record: true,
      answers: { 204: "removed", 412: "If-Match" },
      async handle({ params: { uuid }, headers }) {
        await registry.deleteInstallation(uuid, preconditionOf(headers));
        return { status: 204 };
      },
    }),
    listRoute(dependencies),
  ];
}

function listRoute({ index, maxPageSize }: InstallationRoutesDependencies): Route {
  return route({
    operationId: "listInstallations",
    method: "GET",
    url: "/v1/installations",
    access: "read",
    forApp: true,
    forOrganization: "read",
    summary: "Lists installations, newest first: all, or those of an app, an organization or a status.",
    query: z.object({
      app: slugParameter.optional(),
      organization_id: z.string().min(1).optional(),
      status: installationStatus.optional(),
      ...list.query(100, maxPageSize),
    }),
    answers: { 200: answer("a page of installations", installationPage), 404: "no such app" },
    handle({ query: { app: named, organization_id: organization, status, ...query }, caller }) {
      const app = caller.onlyApp ?? named;
      const organizationId = caller.onlyOrganization ?? organization;
      if (app !== undefined && index.app(app) === undefined) throw new AppError("NOT_FOUND", `no app ${app}`);
      const candidates = organizationId === undefined ? index.installations() : index.installationsOf(organizationId);
      const wanted = [...candidates].filter(
        (candidate) => candidate.app === (app ?? candidate.app) && candidate.status === (status ?? candidate.status),
      );
      const { items, next } = list.page(wanted, positionOfInstallation, query);
      const view = viewFor({ caller });
      return { status: 200, body: { items: items.map((one) => installationView(one, view)), next } };
    },
  });
}
