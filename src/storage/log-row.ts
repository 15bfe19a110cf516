/** One row of the request log (docs/design.md 3.6) as JSON text, without secrets and with truncated bodies. */
import type { AttemptRecord } from "../delivery/ports.ts";
import { toRfc3339 } from "../model/clock.ts";
import { isTestCall } from "../model/delivery.ts";
import { OUTCOMES } from "../model/outcome.ts";
import { withoutSecretsOf } from "../model/redaction/app-secrets.ts";
import { REDACTED } from "../model/redaction/redact.ts";
import { withoutSecrets } from "../model/redaction/safe-url.ts";
import { epochMsOf } from "../model/rfc3339.ts";

/** A row as the lists hold it. Delivered attempts have the last five members if `Kept` says so; only test calls have response headers. */
export interface LogRow {
  readonly date: string;
  readonly event_type: string;
  readonly event_id: string;
  readonly delivery_id: string;
  readonly installation_uuid: string;
  /** Left out for internal apps. */
  readonly organization_id?: string;
  /** Without secrets. */
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
  /** Null, like the body: there was no response. */
  readonly response_headers?: Readonly<Record<string, string>> | null;
  readonly response_body?: string | null;
  readonly error?: string | null;
}

/**
 * Formats a LogRow directly as JSON text, since every attempt needs one.
 * @param keepsDelivered request and response of delivered attempts, too (POSTHORN_LOG_DELIVERED_BODIES)
 */
export function logRow(attempt: AttemptRecord, keepsDelivered = false): string {
  const { delivery, app, installation, outcome, errorId, projectId } = attempt;
  const { event } = delivery;
  const organization = app.status === "internal" ? "" : `,"organization_id":${JSON.stringify(installation.organizationId)}`;
  const reference =
    errorId === null || projectId === null ? "" : `,"error_id":${JSON.stringify(errorId)},"project_id":${JSON.stringify(projectId)}`;
  // Times, event types, delivery ids, uuids, outcomes and trace ids need no escaping.
  const row =
    `{"date":"${toRfc3339(attempt.startedAt)}","event_type":"${event.type}","event_id":${JSON.stringify(event.id)},` +
    `"delivery_id":"${delivery.id}","installation_uuid":"${installation.uuid}"${organization},` +
    `"webhook_url":${JSON.stringify(withoutSecrets(attempt.webhookUrl))},"attempt":${attempt.attempt},"response_code":${attempt.responseCode},` +
    `"outcome":"${outcome}","duration_ms":${attempt.durationMs},"trace_id":"${attempt.traceId}"${reference}`;
  const hasEvidence = outcome !== "delivered" || keepsDelivered || isTestCall(delivery);
  return hasEvidence ? `${row},${JSON.stringify(evidence(attempt)).slice(1)}` : `${row}}`;
}

/** Request and response of an attempt, without secrets. */
export function evidence(
  attempt: AttemptRecord,
): Pick<LogRow, "request_headers" | "request_body" | "response_headers" | "response_body" | "error"> {
  const { delivery, app, webhookUrl, requestBody, responseBody, error } = attempt;
  return {
    request_headers: redactedHeaders(attempt),
    request_body: withoutSecretsOf(app, webhookUrl, requestBody()),
    ...(isTestCall(delivery) ? { response_headers: responseHeadersOf(attempt) } : {}),
    response_body: responseBody === null ? null : withoutSecretsOf(app, webhookUrl, responseBody),
    error,
  };
}

/** Custom headers may carry the receiver's credentials. */
function redactedHeaders({ app, requestHeaders }: AttemptRecord): Record<string, string> {
  const custom = new Set(Object.keys(app.headers).map((name) => name.toLowerCase()));
  const shown: Record<string, string> = {};
  for (const [name, value] of Object.entries(requestHeaders)) {
    shown[name] = custom.has(name.toLowerCase()) && value === app.headers[name] ? REDACTED : value;
  }
  return shown;
}

/** All response headers of one row, in characters. */
const MAX_RESPONSE_HEADERS = 4096;

/** Null: there was no response. Headers beyond the limit are left out. */
function responseHeadersOf({ app, webhookUrl, responseHeaders }: AttemptRecord): Record<string, string> | null {
  if (responseHeaders === null) return null;
  const shown: Record<string, string> = {};
  let room = MAX_RESPONSE_HEADERS;
  for (const [name, value = ""] of Object.entries(responseHeaders)) {
    const text = withoutSecretsOf(app, webhookUrl, Array.isArray(value) ? value.join(", ") : value);
    room -= name.length + text.length;
    if (room < 0) break;
    shown[name] = name === "set-cookie" ? REDACTED : text;
  }
  return shown;
}

const isText = (value: unknown): boolean => typeof value === "string";
const isNumber = (value: unknown): boolean => typeof value === "number" && value >= 0;
const isTextOrNull = (value: unknown): boolean => value === null || isText(value);
const isTexts = (value: unknown): boolean => typeof value === "object" && value !== null && Object.values(value).every(isText);
const MEMBERS: ReadonlyArray<readonly [name: keyof LogRow, isRequired: boolean, check: (value: unknown) => boolean]> = [
  ["date", true, (value) => isText(value) && /^\d{4}-\d\d-\d\dT[\d:.]+Z$/.test(String(value)) && !Number.isNaN(epochMsOf(String(value)))],
  ["event_type", true, isText],
  ["event_id", true, isText],
  ["delivery_id", true, (value) => /^dlv_[0-9a-f]{32}$/.test(String(value))],
  ["installation_uuid", true, isText],
  ["organization_id", false, isText],
  ["webhook_url", true, isText],
  ["attempt", true, (value) => Number.isSafeInteger(value) && Number(value) > 0],
  ["response_code", true, (value) => Number.isSafeInteger(value)],
  ["outcome", true, (value) => (OUTCOMES as readonly unknown[]).includes(value)],
  ["duration_ms", true, isNumber],
  ["trace_id", true, isText],
  ["error_id", false, isText],
  ["project_id", false, isText],
  ["request_headers", false, isTexts],
  ["request_body", false, isText],
  ["response_headers", false, (value) => value === null || isTexts(value)],
  ["response_body", false, isTextOrNull],
  ["error", false, isTextOrNull],
];

/** @returns null for a damaged row, or one that another program wrote */
export function readLogRow(text: string): LogRow | null {
  let row: Record<string, unknown>;
  try {
    row = (JSON.parse(text) ?? {}) as Record<string, unknown>;
  } catch {
    return null;
  }
  const isRow = MEMBERS.every(([name, isRequired, check]) => (Object.hasOwn(row, name) ? check(row[name]) : !isRequired));
  return isRow ? (row as unknown as LogRow) : null;
}
