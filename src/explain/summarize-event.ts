/** The event part of an answer. */
import { toRfc3339 } from "../model/clock.ts";
import type { StoredEvent } from "../model/delivery-location.ts";
import type { Event } from "../model/event.ts";
import { RawJson } from "../model/raw-json.ts";
import { parseTraceparent } from "../model/trace-context.ts";
import type { LogRow } from "../storage/log-row.ts";
import type { ExplainedEvent } from "./answer-schemas.ts";

export interface EventFindings {
  readonly id: string;
  /** Null: no stream has it any more. */
  readonly event: Event | null;
  /** A row of the request log for one of its deliveries. */
  readonly row: LogRow | undefined;
  readonly stored: StoredEvent | null;
  /** The trace of its deliveries: an event published without a trace gets one when it is handled. */
  readonly traceId: string | null;
}

export function summarizeEvent({ id, event, row, stored, traceId }: EventFindings): ExplainedEvent {
  return {
    id,
    source: event?.source ?? null,
    type: event?.type ?? row?.event_type ?? null,
    organization_id: event?.organizationId ?? null,
    project_id: event?.projectId ?? null,
    app: event?.app ?? null,
    installation_uuid: event?.installationUuid ?? null,
    occurred_at: event?.occurredAt ?? null,
    stored_at: stored && toRfc3339(stored.storedAt),
    stream: stored?.stream ?? null,
    sequence: stored?.sequence ?? null,
    stage: stored?.stage ?? null,
    trace_id: parseTraceparent(event?.traceparent)?.traceId ?? traceId,
    data: event && new RawJson(event.dataJson),
    actor: event?.actorJson == null ? null : new RawJson(event.actorJson),
  };
}
