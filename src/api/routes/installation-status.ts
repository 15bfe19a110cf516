/** Health and status of an installation. */
import { z } from "zod";
import { uuidParameter } from "../../registry/records.ts";
import type { QueryHealth } from "../../status/integration-health.ts";
import { answer, type Call, NOT_STORED, type Route, route } from "../http/route.ts";
import type { StatusChanger } from "../ports.ts";
import { discarded, installation, integrationHealth } from "../schemas/installations.ts";
import { preconditionOf, viewFor } from "../schemas/records.ts";
import { createShowInstallation, type ShowInstallationDependencies } from "./show-installation.ts";

const params = z.object({ uuid: uuidParameter });

export interface InstallationStatusRoutesDependencies extends ShowInstallationDependencies {
  readonly statusChanger: StatusChanger;
  readonly queryHealth: QueryHealth;
}

export function installationStatusRoutes(dependencies: InstallationStatusRoutesDependencies): Route[] {
  const { statusChanger, queryHealth } = dependencies;
  const show = createShowInstallation(dependencies);

  const changing = (verb: "enable" | "disable") => ({
    ...({ method: "POST", access: "admin", forOrganization: "manage", params, record: true } as const),
    answers: { 200: answer("the installation", installation), 412: "If-Match" },
    async handle({ params: { uuid }, headers, ...call }: Call<z.output<typeof params>, undefined, undefined>) {
      await statusChanger[verb](uuid, preconditionOf(headers));
      return show(uuid, viewFor(call));
    },
  });

  return [
    route({
      operationId: "getInstallationHealth",
      method: "GET",
      url: "/v1/installations/:uuid/health",
      access: "read",
      forApp: true,
      forOrganization: "read",
      summary: "Shows why an installation has its status, its counters of the last days, and how much of its backlog still waits.",
      params,
      answers: { 200: answer("its health", integrationHealth) },
      handle: async ({ params: { uuid } }) => ({ status: 200, body: await queryHealth(uuid) }),
    }),
    route({
      operationId: "enableInstallation",
      url: "/v1/installations/:uuid/enable",
      summary: "Activates a disabled or broken installation and delivers its backlog. An active installation stays unchanged.",
      ...changing("enable"),
    }),
    route({
      operationId: "disableInstallation",
      url: "/v1/installations/:uuid/disable",
      summary: "Stops deliveries to an installation; they are parked until it is enabled.",
      ...changing("disable"),
    }),
    route({
      operationId: "discardBacklog",
      method: "POST",
      url: "/v1/installations/:uuid/discard",
      access: "admin",
      summary: "Sends the backlog of a broken or disabled installation to dead letters, from where it can be replayed.",
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
        const { status, headers: answerHeaders } = await show(uuid, viewFor(call));
        return { status, headers: answerHeaders, body: { discarded: count, ...(inFlight > 0 ? { in_flight: inFlight } : {}) } };
      },
    }),
  ];
}
