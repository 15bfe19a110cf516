/** GET /v1/system: Posthorn itself at a glance. */
import type { ReadSystem } from "../../overview/read-system.ts";
import { answer, type Route, route } from "../http/route.ts";
import { system } from "../schemas/system.ts";

export function systemRoutes({ readSystem }: { readonly readSystem: ReadSystem }): Route[] {
  return [
    route({
      operationId: "getSystem",
      method: "GET",
      url: "/v1/system",
      access: "read",
      summary: "Posthorn itself: events that wait, attempts in flight, streams, replicas, NATS, Redis, and the busiest apps now.",
      answers: { 200: answer("the system; members that can't be read now are null", system) },
      handle: async () => ({ status: 200, body: await readSystem() }),
    }),
  ];
}
