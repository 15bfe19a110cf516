/** Registry records as the API shows them, without secrets and internal members; ETags and preconditions. */
import type { IncomingHttpHeaders } from "node:http";
import type { App, Installation } from "../../model/app.ts";
import { toRfc3339 } from "../../model/clock.ts";
import { REDACTED, redactedUrl } from "../../model/redaction/redacted-url.ts";
import type { Precondition } from "../../registry/record-tag.ts";
import { RecordInvalid } from "../../registry/records.ts";
import { readTags } from "../http/entity-tags.ts";
import type { Call } from "../http/route.ts";
import type { Position } from "./paging.ts";

/** The members of a record that a caller may see. */
export interface View {
  /** URLs with user names and query values. */
  readonly showsUrls: boolean;
}

/** Admin tokens see whole URLs, because they edit them; those of apps and organizations don't. */
export function viewFor({ caller }: Pick<Call<never, never, never>, "caller">): View {
  return { showsUrls: caller.scope === "admin" && caller.onlyApp === null && caller.onlyOrganization === null };
}

export function shownUrl(url: string, { showsUrls }: View): string {
  return showsUrls ? url : redactedUrl(url);
}

export function appView(app: App, view: View): object {
  return {
    slug: app.slug,
    name: app.name,
    webhook_url: shownUrl(app.webhookUrl, view),
    status: app.status,
    events: app.events,
    headers: Object.fromEntries(Object.keys(app.headers).map((name) => [name, REDACTED])),
    timeout_ms: app.timeoutMs,
    retry_schedule_s: app.retryScheduleMs?.map((ms) => ms / 1000) ?? null,
    retry_on: app.retryOn,
    max_in_flight: app.maxInFlight,
    rate_limit: app.rateLimit && { per_s: app.rateLimit.perS, burst: app.rateLimit.burst },
    ordered: app.orderBy !== "none",
    order_by: app.orderBy,
    on_exhausted: app.onExhausted,
    created_at: timeOrNull(app.createdAt),
    updated_at: timeOrNull(app.updatedAt),
  };
}

export function installationView(installation: Installation, view: View): object {
  return {
    uuid: installation.uuid,
    app: installation.app,
    organization_id: installation.organizationId,
    project_ids: installation.projectIds,
    status: installation.status,
    webhook_url: installation.webhookUrl === null ? null : shownUrl(installation.webhookUrl, view),
    created_at: timeOrNull(installation.createdAt),
    updated_at: timeOrNull(installation.updatedAt),
  };
}

export function positionOfInstallation({ uuid, createdAt }: Installation): Position {
  return { at: createdAt ?? 0, key: uuid };
}

/** Added to a record's answer when its newest value can't be read. */
export function invalidView(problem: string | null): object {
  return problem === null ? {} : { invalid: problem };
}

function timeOrNull(epochMs: number | null): string | null {
  return epochMs === null ? null : toRfc3339(epochMs);
}

/** The Standard Webhooks form of a client secret, whose key is the secret's UTF-8 bytes. */
export function webhookSecret(clientSecret: string): string {
  return `whsec_${Buffer.from(clientSecret).toString("base64")}`;
}

export function etag(tag: string): string {
  return `"${tag}"`;
}

/** @throws AppError RECORD_INVALID */
export function preconditionOf({ "if-match": match, "if-none-match": noneMatch }: IncomingHttpHeaders): Precondition {
  const absent = noneMatch?.trim() === "*";
  if (noneMatch !== undefined && !absent) throw invalidHeader("If-None-Match", noneMatch, "*");
  const tags = match === undefined ? null : readTags(match);
  if (match !== undefined && tags === null) throw invalidHeader("If-Match", match, '* or tags such as "17"');
  return { tags, absent };
}

export function invalidHeader(name: string, found: string, wanted: string): RecordInvalid {
  return new RecordInvalid("", [{ path: name, message: `found ${JSON.stringify(found.slice(0, 80))}, wanted ${wanted}` }]);
}
