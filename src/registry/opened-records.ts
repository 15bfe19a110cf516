/** Decrypts stored apps and installations for the delivery path: secrets, header values and URLs. */
import type { App, Installation } from "../model/app.ts";
import { epochMsOf } from "../model/rfc3339.ts";
import type { InstallationRecord } from "../model/stored-records.ts";
import type { StoredApp } from "./records.ts";
import type { SecretBox } from "./secret-box.ts";

/** Owners of encrypted values: the additional data of the encryption, so that a value can't be moved to another place. */
export const owners = {
  clientSecret: (slug: string): string => slug,
  header: (slug: string, name: string): string => `${slug} header ${name.toLowerCase()}`,
  appUrl: (slug: string): string => `${slug} webhook_url`,
  installationUrl: (uuid: string): string => `_installation.${uuid} webhook_url`,
} as const;

/** @throws AppError SECRET_UNREADABLE */
export function toApp(record: StoredApp, secretBox: SecretBox): App {
  const { slug, previous_secret: previous } = record;
  const owner = owners.clientSecret(slug);
  // First, so that an error names the client secret.
  const clientSecret = secretBox.open(owner, record.client_secret);
  return {
    slug,
    name: record.name,
    webhookUrl: secretBox.open(owners.appUrl(slug), record.webhook_url),
    status: record.status,
    events: record.events,
    headers: openHeaders(record, secretBox),
    timeoutMs: record.timeout_ms ?? null,
    retryScheduleMs: record.retry_schedule_s?.map((seconds) => Math.round(seconds * 1000)) ?? null,
    retryOn: record.retry_on ?? null,
    maxInFlight: record.max_in_flight ?? null,
    rateLimit: record.rate_limit == null ? null : { perS: record.rate_limit.per_s, burst: record.rate_limit.burst ?? 1 },
    orderBy: record.order_by ?? (record.ordered ? "app" : "none"),
    onExhausted: record.on_exhausted ?? "continue",
    clientSecret,
    previousSecret: previous ? { value: secretBox.open(owner, previous.value), validUntil: epochMsOf(previous.valid_until) } : null,
    createdAt: timeOf(record.created_at),
    updatedAt: timeOf(record.updated_at),
  };
}

/** @throws AppError SECRET_UNREADABLE */
export function toInstallation(record: InstallationRecord, secretBox: SecretBox): Installation {
  return {
    uuid: record.uuid,
    app: record.app,
    organizationId: record.organization_id,
    projectIds: record.project_ids,
    status: record.status,
    webhookUrl: record.webhook_url == null ? null : secretBox.open(owners.installationUrl(record.uuid), record.webhook_url),
    createdAt: timeOf(record.created_at),
    updatedAt: timeOf(record.updated_at),
  };
}

function timeOf(text: string | undefined): number | null {
  return text === undefined ? null : epochMsOf(text);
}

function openHeaders({ slug, headers }: StoredApp, secretBox: SecretBox): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, secretBox.open(owners.header(slug, name), value)]));
}

/** @returns the record with `renew` applied to every encrypted value */
export function mapAppSecrets(record: StoredApp, renew: (owner: string, stored: string) => string): StoredApp {
  const { slug, previous_secret: previous } = record;
  const owner = owners.clientSecret(slug);
  return {
    ...record,
    webhook_url: renew(owners.appUrl(slug), record.webhook_url),
    headers: Object.fromEntries(Object.entries(record.headers).map(([name, value]) => [name, renew(owners.header(slug, name), value)])),
    client_secret: renew(owner, record.client_secret),
    ...(previous === undefined ? {} : { previous_secret: { ...previous, value: renew(owner, previous.value) } }),
  };
}

export function mapInstallationSecrets(record: InstallationRecord, renew: (owner: string, stored: string) => string): InstallationRecord {
  const { uuid, webhook_url: url } = record;
  return url == null ? record : { ...record, webhook_url: renew(owners.installationUrl(uuid), url) };
}
