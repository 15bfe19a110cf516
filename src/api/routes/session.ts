/** GET /v1/session: what a page for people needs to know before anything else. */
import { session } from "../../overview/overview-schemas.ts";
import { answer, type Route, route } from "../http/route.ts";

export interface SessionOptions {
  readonly version: string;
  /** Link to a trace with `{trace_id}` in it. */
  readonly traceUrl: string | null;
}

export function sessionRoutes({ version, traceUrl }: SessionOptions): Route[] {
  return [
    route({
      method: "GET",
      url: "/v1/session",
      access: "read",
      forApp: true,
      summary: "What the caller's token covers, and where traces are shown.",
      answers: { 200: answer("the session", session) },
      handle: ({ scope, onlyApp }) => ({
        status: 200,
        body: { scope: onlyApp === null ? scope : "app", app: onlyApp, version, trace_url: traceUrl },
      }),
    }),
  ];
}
