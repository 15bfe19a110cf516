/** For operators: /healthz, /readyz, /metrics. */
import { ERRORS_PATH, errorsPage } from "../http/errors-page.ts";
import { answer, type Route, route } from "../http/route.ts";
import type { Readiness } from "../ports.ts";
import { health, markdown, metricsText, readiness as readinessForm } from "../schemas/operations.ts";

export function isReady(checks: ReturnType<Readiness["checks"]>): boolean {
  return Object.values(checks).every(({ ok, required }) => ok || !required);
}

export function operationRoutes({
  readiness,
  renderMetrics,
}: {
  readiness: Readiness;
  renderMetrics: () => string | Promise<string>;
}): Route[] {
  return [
    route({
      operationId: "getHealth",
      method: "GET",
      url: "/healthz",
      access: "open",
      summary: "The process is alive.",
      answers: { 200: answer("alive", health) },
      handle: () => ({ status: 200, body: { status: "ok" } }),
    }),
    route({
      operationId: "getReadiness",
      method: "GET",
      url: "/readyz",
      access: "open",
      summary: "Whether events are consumed and delivered now, and what prevents it.",
      answers: { 200: answer("ready", readinessForm), 503: answer("not ready", readinessForm) },
      handle() {
        const checks = readiness.checks();
        const ready = isReady(checks);
        return { status: ready ? 200 : 503, body: { status: ready ? "ready" : "not ready", checks } };
      },
    }),
    route({
      operationId: "getErrorCodes",
      method: "GET",
      url: ERRORS_PATH,
      access: "open",
      summary: "The meaning of each error code.",
      answers: { 200: answer("the page as Markdown", markdown, "text/markdown") },
      handle: () => ({ status: 200, body: errorsPage(), headers: { "content-type": "text/markdown; charset=utf-8" } }),
    }),
    route({
      operationId: "getMetrics",
      method: "GET",
      url: "/metrics",
      access: "read",
      summary: "Metrics in the Prometheus text format.",
      answers: { 200: answer("metrics", metricsText, "text/plain") },
      async handle() {
        const headers = { "content-type": "text/plain; version=0.0.4; charset=utf-8" };
        return { status: 200, body: await renderMetrics(), headers };
      },
    }),
  ];
}
