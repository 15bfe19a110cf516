/** One row of the request log (DESIGN 3.6) as JSON text. Nothing secret gets in, and bodies are cut. */
import type { AttemptRecord } from "../delivery/ports.ts";
import { withoutSecretsOf } from "../model/app-secrets.ts";
import { toRfc3339 } from "../model/clock.ts";
import { REDACTED } from "../model/redact.ts";
import { withoutSecrets } from "../model/safe-url.ts";

/** A row as the lists hold it; the last four only if it was not delivered. */
export interface LogRow {
  readonly date: string;
  readonly event_type: string;
  readonly event_id: string;
  readonly delivery_id: string;
  readonly installation_uuid: string;
  /** Left out for internal apps. */
  readonly organization_id?: string;
  /** Without what is secret in it. */
  readonly webhook_url: string;
  /** From 1. */
  readonly attempt: number;
  /** 0: no response. */
  readonly response_code: number;
  readonly outcome: string;
  readonly duration_ms: number;
  readonly trace_id: string;
  readonly error_id?: string;
  readonly project_id?: string;
  readonly request_headers?: Readonly<Record<string, string>>;
  readonly request_body?: string;
  /** Null: there was no response. */
  readonly response_body?: string | null;
  readonly error?: string | null;
}

/** LogRow as JSON text, put together from texts: one is made per attempt. */
export function logRow(attempt: AttemptRecord): string {
  const { delivery, app, installation, outcome, errorId, projectId } = attempt;
  const { event } = delivery;
  const organization = app.status === "internal" ? "" : `,"organization_id":${JSON.stringify(installation.organizationId)}`;
  const reference =
    errorId === null || projectId === null ? "" : `,"error_id":${JSON.stringify(errorId)},"project_id":${JSON.stringify(projectId)}`;
  // Times, event types, delivery ids, uuids, outcomes and trace ids need no quoting.
  const row =
    `{"date":"${toRfc3339(attempt.startedAt)}","event_type":"${event.type}","event_id":${JSON.stringify(event.id)},` +
    `"delivery_id":"${delivery.id}","installation_uuid":"${installation.uuid}"${organization},` +
    `"webhook_url":${JSON.stringify(withoutSecrets(attempt.webhookUrl))},"attempt":${attempt.attempt},"response_code":${attempt.responseCode},` +
    `"outcome":"${outcome}","duration_ms":${attempt.durationMs},"trace_id":"${attempt.traceId}"${reference}`;
  return outcome === "delivered" ? `${row}}` : `${row},${JSON.stringify(evidence(attempt)).slice(1)}`;
}

/** What was sent and what came back, with nothing secret in it. */
export function evidence(attempt: AttemptRecord): Pick<LogRow, "request_headers" | "request_body" | "response_body" | "error"> {
  const { app, webhookUrl, requestBody, responseBody, error } = attempt;
  return {
    request_headers: redactedHeaders(attempt),
    request_body: withoutSecretsOf(app, webhookUrl, requestBody),
    response_body: responseBody === null ? null : withoutSecretsOf(app, webhookUrl, responseBody),
    error,
  };
}

/** Custom headers carry whatever credentials the receiver asked for. */
function redactedHeaders({ app, requestHeaders }: AttemptRecord): Record<string, string> {
  const custom = new Set(Object.keys(app.headers).map((name) => name.toLowerCase()));
  const shown: Record<string, string> = {};
  for (const [name, value] of Object.entries(requestHeaders)) {
    shown[name] = custom.has(name.toLowerCase()) && value === app.headers[name] ? REDACTED : value;
  }
  return shown;
}
