/** One row of the request log (DESIGN 3.6) as JSON text. Nothing secret gets in, and bodies are cut. */
import type { AttemptRecord } from "../delivery/ports.ts";
import { toRfc3339 } from "../model/clock.ts";
import { OUTCOMES } from "../model/outcome.ts";

/** A row as the lists hold it; the last four only if it was not delivered. */
export interface LogRow {
  readonly date: string;
  readonly event_type: string;
  readonly event_id: string;
  readonly delivery_id: string;
  readonly installation_uuid: string;
  /** Left out for internal apps. */
  readonly organization_id?: string;
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

export const MAX_BODY_BYTES = 1024;
const REDACTED = "[redacted]";
/** Shorter values would blot out ordinary text wherever they occur in a body. */
const SHORTEST_SECRET = 6;
/** As much of a body as is searched for secrets; what is kept of it is far shorter. */
const SEARCHED_BYTES = 16 * 1024;

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
    `"webhook_url":${JSON.stringify(attempt.webhookUrl)},"attempt":${attempt.attempt},"response_code":${attempt.responseCode},` +
    `"outcome":"${outcome}","duration_ms":${attempt.durationMs},"trace_id":"${attempt.traceId}"${reference}`;
  return outcome === "delivered" ? `${row}}` : `${row},${JSON.stringify(evidence(attempt)).slice(1)}`;
}

/** What was sent and what came back, with nothing secret in it. */
export function evidence(attempt: AttemptRecord): Pick<LogRow, "request_headers" | "request_body" | "response_body" | "error"> {
  const secrets = secretsOf(attempt);
  return {
    request_headers: redactedHeaders(attempt),
    request_body: cutBody(attempt.requestBody, secrets),
    response_body: attempt.responseBody === null ? null : cutBody(attempt.responseBody, secrets),
    error: attempt.error === null ? null : redact(attempt.error, secrets),
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

/** A receiver may echo what it got. */
function secretsOf({ app, webhookUrl }: AttemptRecord): string[] {
  // The query of a webhook URL often is a token.
  const { search, searchParams } = new URL(webhookUrl);
  const secrets = [app.clientSecret, ...Object.values(app.headers), search.slice(1), ...searchParams.values()];
  if (app.previousSecret !== null) secrets.push(app.previousSecret.value);
  return secrets.filter((secret) => secret.length >= SHORTEST_SECRET).sort((a, b) => b.length - a.length);
}

function redact(text: string, secrets: readonly string[]): string {
  let redacted = text;
  for (const secret of secrets) redacted = redacted.replaceAll(secret, REDACTED);
  return redacted;
}

function cutBody(body: Uint8Array, secrets: readonly string[]): string {
  const text = Buffer.from(body.buffer, body.byteOffset, Math.min(body.byteLength, SEARCHED_BYTES)).toString("utf8");
  return cutText(redact(text, secrets));
}

/** At most MAX_BODY_BYTES of UTF-8, never half a character. */
export function cutText(text: string): string {
  const bytes = Buffer.from(text);
  if (bytes.length <= MAX_BODY_BYTES) return text;
  let end = MAX_BODY_BYTES;
  // 10xxxxxx continues a character: the cut goes before the byte that began it.
  while (end > 0 && ((bytes[end] ?? 0) & 0xc0) === 0x80) end--;
  return bytes.toString("utf8", 0, end);
}

const isText = (value: unknown): boolean => typeof value === "string";
const isNumber = (value: unknown): boolean => typeof value === "number" && value >= 0;
const isTextOrNull = (value: unknown): boolean => value === null || isText(value);
const MEMBERS: ReadonlyArray<readonly [name: keyof LogRow, isRequired: boolean, check: (value: unknown) => boolean]> = [
  ["date", true, (value) => isText(value) && /^\d{4}-\d\d-\d\dT[\d:.]+Z$/.test(String(value)) && !Number.isNaN(Date.parse(String(value)))],
  ["event_type", true, isText],
  ["event_id", true, isText],
  ["delivery_id", true, (value) => /^dlv_[0-9a-f]{32}$/.test(String(value))],
  ["installation_uuid", true, isText],
  ["organization_id", false, isText],
  ["webhook_url", true, isText],
  ["attempt", true, (value) => Number.isSafeInteger(value) && Number(value) > 0],
  ["response_code", true, (value) => Number.isSafeInteger(value)],
  ["outcome", true, (value) => isText(value) && Object.hasOwn(OUTCOMES, String(value))],
  ["duration_ms", true, isNumber],
  ["trace_id", true, isText],
  ["error_id", false, isText],
  ["project_id", false, isText],
  ["request_headers", false, (value) => typeof value === "object" && value !== null && Object.values(value).every(isText)],
  ["request_body", false, isText],
  ["response_body", false, isTextOrNull],
  ["error", false, isTextOrNull],
];

/** Null for what is no row: damaged, or written by another program. */
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
