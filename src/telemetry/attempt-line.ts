/** The members of a `delivery.attempted` line as JSON text: all facts of one attempt, put together without an object. */
import type { AttemptRecord } from "../delivery/ports.ts";
import type { App, Installation } from "../model/app.ts";
import { withoutSecrets } from "./safe-url.ts";

/** What is text of our own making (ids in hex, slugs, uuids, event types, outcomes) needs no quoting. */
export function attemptLine(record: AttemptRecord): string {
  const { delivery, error } = record;
  const { event, replay } = delivery;
  return (
    `"trace_id":"${record.traceId}","span_id":"${record.spanId}",${targetOf(record)},"event_id":${JSON.stringify(event.id)},` +
    `"event_type":"${event.type}","delivery_id":"${delivery.id}","attempt":${record.attempt},"outcome":"${record.outcome}",` +
    `"response_code":${record.responseCode},"duration_ms":${record.durationMs}` +
    (error === null ? "" : `,"error":${JSON.stringify(error)}`) +
    (replay === null ? "" : `,"replay":${JSON.stringify(replay)}`)
  );
}

interface Target {
  readonly app: App;
  /** app, installation_uuid, organization_id and webhook_url. */
  readonly text: string;
}

// Apps and installations are never changed in place: a change makes new ones, and what was kept for the old goes with them.
const targets = new WeakMap<Installation, Target>();

function targetOf({ installation, app, webhookUrl }: AttemptRecord): string {
  const known = targets.get(installation);
  if (known !== undefined && known.app === app) return known.text;
  const members = {
    app: app.slug,
    installation_uuid: installation.uuid,
    organization_id: installation.organizationId,
    webhook_url: withoutSecrets(webhookUrl),
  };
  const text = JSON.stringify(members).slice(1, -1);
  targets.set(installation, { app, text });
  return text;
}
