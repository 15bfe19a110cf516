/** GET /v1/session: what the dashboard asks first. */

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
      summary: "Shows the scope of the caller's token, and the link to traces.",
      answers: { 200: answer("the session", session) },
      handle: ({ scope, onlyApp }) => ({
        status: 200,
        body: { scope: onlyApp === null ? scope : "app", app: onlyApp, version, trace_url: traceUrl },
      }),
    }),
  ];
}
