/** GET /v1/session: what the dashboard asks first. */

import { toRfc3339 } from "../../model/clock.ts";
import { answer, type Route, route } from "../http/route.ts";
import { session } from "../schemas/session.ts";

export interface SessionOptions {
  readonly version: string;
  /** Link to a trace with `{trace_id}` in it. */
  readonly traceUrl: string | null;
}

export function sessionRoutes({ version, traceUrl }: SessionOptions): Route[] {
  return [
    route({
      operationId: "getSession",
      method: "GET",
      url: "/v1/session",
      access: "read",
      forApp: true,
      forOrganization: "read",
      summary: "Shows what the caller's token may do, until when, and the link to traces.",
      answers: { 200: answer("the session", session) },
      handle: ({ caller: { name, scope, may, onlyApp, onlyOrganization, expiresAt } }) => ({
        status: 200,
        body: {
          scope: onlyApp !== null ? "app" : onlyOrganization !== null ? "organization" : scope,
          ...{ app: onlyApp, organization_id: onlyOrganization, may, name },
          expires_at: expiresAt === null ? null : toRfc3339(expiresAt),
          ...{ version, trace_url: traceUrl },
        },
      }),
    }),
  ];
}
