/** Registry records as the API shows them: never a secret, never what Posthorn keeps for itself; and ETags. */
import type { IncomingHttpHeaders } from "node:http";
import type { App, Installation } from "../model/app.ts";
import type { Precondition } from "../registry/record-tag.ts";
import { RecordInvalid } from "../registry/records.ts";

export function appView(app: App): object {
  return {
    slug: app.slug,
    name: app.name,
    webhook_url: app.webhookUrl,
    status: app.status,
    events: app.events,
    headers: app.headers,
    timeout_ms: app.timeoutMs,
    retry_schedule_s: app.retryScheduleMs?.map((ms) => ms / 1000) ?? null,
    max_in_flight: app.maxInFlight,
    ordered: app.orderBy !== "none",
    order_by: app.orderBy,
    on_exhausted: app.onExhausted,
  };
}

export function installationView(installation: Installation): object {
  return {
    uuid: installation.uuid,
    app: installation.app,
    organization_id: installation.organizationId,
    project_ids: installation.projectIds,
    status: installation.status,
    webhook_url: installation.webhookUrl,
  };
}

/** The Standard Webhooks form of a client secret: the key is the secret's UTF-8 bytes. */
export function webhookSecret(clientSecret: string): string {
  return `whsec_${Buffer.from(clientSecret).toString("base64")}`;
}

export function etag(tag: string): string {
  return `"${tag}"`;
}

/** @throws AppError RECORD_INVALID */
export function preconditionOf(headers: IncomingHttpHeaders): Precondition {
  const match = headers["if-match"]?.trim();
  const noneMatch = headers["if-none-match"]?.trim();
  if (noneMatch !== undefined && noneMatch !== "*") throw new RecordInvalid("If-None-Match", [{ path: "", message: "wanted *" }]);
  const absent = noneMatch === "*";
  if (match === undefined) return { tag: null, absent };
  if (match === "*") return { tag: "*", absent };
  // Some other tag than ours can't be the record's, and none of ours is empty.
  return { tag: /^(?:W\/)?"([\w-]+)"$/.exec(match)?.[1] ?? "", absent };
}
