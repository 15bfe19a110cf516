/** Formats the members of a `delivery.attempted` log line as JSON text: all facts of one attempt, without building an object. */
import type { AttemptRecord } from "../delivery/ports.ts";
import { withoutSecrets } from "../model/redaction/safe-url.ts";

/** Ids in hex, slugs, uuids, event types and outcomes are not escaped: they hold no character that JSON escapes. */
export function attemptLine(record: AttemptRecord): string {
  const { delivery, app, installation, error } = record;
  const { event, replay } = delivery;
  return (
    `"trace_id":"${record.traceId}","span_id":"${record.spanId}","app":"${app.slug}","installation_uuid":"${installation.uuid}",` +
    `"organization_id":${JSON.stringify(installation.organizationId)},"event_id":${JSON.stringify(event.id)},"event_type":"${event.type}",` +
    `"delivery_id":"${delivery.id}","attempt":${record.attempt},"outcome":"${record.outcome}","response_code":${record.responseCode},` +
    `"duration_ms":${record.durationMs},"webhook_url":${JSON.stringify(withoutSecrets(record.webhookUrl))}` +
    (error === null ? "" : `,"error":${JSON.stringify(error)}`) +
    (replay === null ? "" : `,"replay":${JSON.stringify(replay)}`)
  );
}
