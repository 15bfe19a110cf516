/**
 * Values of the registry bucket that several folders use, as on the wire; registry/record-kinds.ts reads them. A rewrite keeps
 * members that this version does not know, so that versions can run side by side.
 */
import type { InstallationStatus } from "./app.ts";
import type { CircuitStateName } from "./circuit-state.ts";
import type { BrokenReasonData, StatusEvent } from "./status-event.ts";

/** The outbox (status/outbox.ts) in a record. */
export interface OutboxMembers<E> {
  /** Number of the record's last status event. */
  readonly n?: number | undefined;
  /** The event that may not be published yet. */
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
  /** The counters in Redis belong to an earlier state and must be cleared before the rule runs (STATUS-1). */
  readonly counters_stale?: true | undefined;
  readonly broken_at?: string | undefined;
  readonly broken_reason?: BrokenReasonData | undefined;
  readonly probed_at?: string | undefined;
  readonly recovered_at?: string | undefined;
  readonly recovered_backlog?: number | null | undefined;
  readonly created_at?: string | undefined;
  readonly updated_at?: string | undefined;
}

/** `health.<app>` */
export interface AppHealthRecord extends OutboxMembers<StatusEvent> {
  readonly state: "failing" | "healthy";
  /** RFC 3339: when the app began to fail, last. */
  readonly since: string;
}

/** `throttle.<app>` */
export interface ThrottleRecord extends OutboxMembers<StatusEvent> {
  /** Milliseconds since the epoch, as `until`. */
  readonly since: number;
  readonly until: number;
  readonly response_code: number;
  /** `app.throttled` was published, and `app.released` was not yet. */
  readonly announced: boolean;
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
