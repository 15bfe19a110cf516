/** Converts API bodies to records and back. Values that are encrypted at rest are in the clear in a body. */
import { isDeepStrictEqual } from "node:util";
import type { App, Installation, OnExhausted, OrderBy } from "../model/app.ts";
import { REDACTED, redactedUrl } from "../model/redaction/redacted-url.ts";
import type { RetryOn } from "../model/retry-on.ts";
import type { InstallationRecord } from "../model/stored-records.ts";
import { owners } from "./opened-records.ts";
import { type AppBody, type InstallationBody, RecordInvalid, type StoredApp } from "./records.ts";
import type { SecretBox } from "./secret-box.ts";

/** The members of an app's body, with defaults filled in. */
export interface AppMembers {
  readonly name: string;
  readonly webhook_url: string;
  readonly status: App["status"];
  readonly events: readonly string[];
  readonly headers: Readonly<Record<string, string>>;
  readonly timeout_ms: number | null;
  readonly retry_schedule_s: readonly number[] | null;
  readonly retry_on: RetryOn | null;
  readonly max_in_flight: number | null;
  readonly rate_limit: { readonly per_s: number; readonly burst: number } | null;
  readonly order_by: OrderBy;
  readonly on_exhausted: OnExhausted;
}

export interface InstallationMembers {
  readonly app: string;
  readonly organization_id: string;
  readonly project_ids: readonly string[];
  readonly webhook_url: string | null;
}

export function membersOfApp(app: App): AppMembers {
  return {
    name: app.name,
    webhook_url: app.webhookUrl,
    status: app.status,
    events: app.events,
    headers: app.headers,
    timeout_ms: app.timeoutMs,
    retry_schedule_s: app.retryScheduleMs?.map((ms) => ms / 1000) ?? null,
    retry_on: app.retryOn,
    max_in_flight: app.maxInFlight,
    rate_limit: app.rateLimit && { per_s: app.rateLimit.perS, burst: app.rateLimit.burst },
    order_by: app.orderBy,
    on_exhausted: app.onExhausted,
  };
}

export function membersOfInstallation(installation: Installation): InstallationMembers {
  return {
    app: installation.app,
    organization_id: installation.organizationId,
    project_ids: installation.projectIds,
    webhook_url: installation.webhookUrl,
  };
}

/** @param before the app as it is, whose values stand for `[redacted]`. @throws AppError RECORD_INVALID */
export function appMembers(what: string, slug: string, body: AppBody, before: App | null): AppMembers {
  return {
    name: body.name ?? slug,
    webhook_url: unredactedUrl(what, body.webhook_url, before?.webhookUrl ?? null),
    status: body.status,
    events: body.events,
    headers: unredactedHeaders(what, body.headers, before?.headers ?? {}),
    timeout_ms: body.timeout_ms ?? null,
    retry_schedule_s: body.retry_schedule_s ?? null,
    retry_on: body.retry_on == null ? null : [...new Set(body.retry_on)],
    max_in_flight: body.max_in_flight ?? null,
    rate_limit:
      body.rate_limit == null ? null : { per_s: body.rate_limit.per_s, burst: body.rate_limit.burst ?? Math.ceil(body.rate_limit.per_s) },
    order_by: orderOf(what, body),
    on_exhausted: body.on_exhausted,
  };
}

/** @throws AppError RECORD_INVALID */
export function installationMembers(what: string, body: InstallationBody, before: Installation | null): InstallationMembers {
  return {
    app: body.app,
    organization_id: body.organization_id,
    project_ids: body.project_ids,
    webhook_url: body.webhook_url == null ? null : unredactedUrl(what, body.webhook_url, before?.webhookUrl ?? null),
  };
}

/** The members as they are stored. A value that has not changed keeps its ciphertext. */
export function sealApp(slug: string, members: AppMembers, before: StoredApp | null, secretBox: SecretBox) {
  const seal = sealer(secretBox);
  const headers = Object.entries(members.headers).map(([name, value]) => {
    const stored = before !== null && Object.hasOwn(before.headers, name) ? before.headers[name] : undefined;
    return [name, seal(owners.header(slug, name), value, stored)] as const;
  });
  return {
    ...members,
    events: [...members.events],
    retry_schedule_s: members.retry_schedule_s && [...members.retry_schedule_s],
    retry_on: members.retry_on && [...members.retry_on],
    webhook_url: seal(owners.appUrl(slug), members.webhook_url, before?.webhook_url),
    headers: Object.fromEntries(headers),
  };
}

export function sealInstallation(
  uuid: string,
  members: InstallationMembers,
  before: InstallationRecord | null,
  secretBox: SecretBox,
): InstallationMembers {
  const { webhook_url: url } = members;
  const stored = before?.webhook_url ?? undefined;
  return { ...members, webhook_url: url === null ? null : sealer(secretBox)(owners.installationUrl(uuid), url, stored) };
}

/** Names of the members that differ. */
export function changedMembers(before: object | null, after: object): string[] {
  const old = new Map(Object.entries(before ?? {}));
  return Object.entries(after).flatMap(([name, value]) => (isDeepStrictEqual(old.get(name), value) ? [] : [name]));
}

const sealer =
  (secretBox: SecretBox) =>
  (owner: string, value: string, stored: string | undefined): string =>
    stored !== undefined && secretBox.open(owner, stored) === value ? stored : secretBox.seal(owner, value);

/** `ordered: false` is the default, which says nothing beside another `order_by`. */
function orderOf(what: string, { ordered, order_by: orderBy }: AppBody): OrderBy {
  if (!ordered || orderBy !== "none") return orderBy ?? (ordered ? "app" : "none");
  const message = 'found "none" with ordered: true, wanted another order_by or ordered: false';
  throw new RecordInvalid(what, [{ path: "order_by", message }]);
}

/** A reader without the right to see the URL's secrets may send back what it was shown. */
function unredactedUrl(what: string, url: string, before: string | null): string {
  if (!url.includes(REDACTED) || url === before) return url;
  if (before !== null && url === redactedUrl(before)) return before;
  throw new RecordInvalid(what, [{ path: "webhook_url", message: `found ${REDACTED} in it, wanted the URL itself` }]);
}

function unredactedHeaders(
  what: string,
  headers: Readonly<Record<string, string>>,
  before: Readonly<Record<string, string>>,
): Record<string, string> {
  const known = new Map(Object.entries(before).map(([name, value]) => [name.toLowerCase(), value]));
  const values = Object.entries(headers).map(([name, value]) => {
    if (value !== REDACTED) return [name, value] as const;
    const kept = known.get(name.toLowerCase());
    if (kept !== undefined) return [name, kept] as const;
    throw new RecordInvalid(what, [{ path: `headers.${name}`, message: `found ${REDACTED}, and there is no value to keep` }]);
  });
  return Object.fromEntries(values);
}
