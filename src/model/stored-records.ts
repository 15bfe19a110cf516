/**
 * The values of the registry bucket that more than one folder works with, as they are on the wire. Members that this version
 * does not know are kept when a record is rewritten, so that versions can run side by side. registry/record-kinds.ts reads them.
 */
import type { InstallationStatus } from "./app.ts";
import type { CircuitStateName } from "./circuit-state.ts";
import type { BrokenReasonData, StatusEvent } from "./status-event.ts";

/** What a status transition (status/outbox.ts) keeps in a record. */
export interface OutboxMembers<E> {
  /** Number of the record's last status event. */
  readonly n?: number | undefined;
  /** The event that is not known to be published yet. */
  readonly pending_event?: E | undefined;
}

/** `installation.<uuid>` */
export interface InstallationRecord extends OutboxMembers<StatusEvent> {
  readonly uuid: string;
  readonly app: string;
  readonly organization_id: string;
  readonly project_ids: readonly string[];
  readonly status: InstallationStatus;
  /** secret-box.ts form; null: the app's. */
  readonly webhook_url?: string | null | undefined;
  /** The counters in Redis are of an earlier state; status/integration-status.ts clears them before they are judged by. */
  readonly counters_stale?: true | undefined;
  readonly broken_at?: string | undefined;
  readonly broken_reason?: BrokenReasonData | undefined;
  readonly probed_at?: string | undefined;
  readonly recovered_at?: string | undefined;
  readonly recovered_backlog?: number | null | undefined;
  readonly created_at?: string | undefined;
  readonly updated_at?: string | undefined;
}

/** `circuit.<app>` */
export interface CircuitRecord extends OutboxMembers<StatusEvent> {
  readonly state: CircuitStateName;
  readonly open_for_ms?: number | undefined;
  /** Milliseconds since the epoch, as `probe_until`. */
  readonly open_until?: number | undefined;
  readonly probe_until?: number | undefined;
  readonly probe_by?: string | null | undefined;
}
