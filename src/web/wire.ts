/** What the API answers with, as far as the page reads it. */
import type { AppStatus, InstallationStatus } from "../model/app.ts";
import type { Outcome } from "../model/outcome.ts";
import type { BrokenReasonData } from "../model/status-event.ts";

export type { AppStatus, InstallationStatus, Outcome };

export interface Session {
  readonly scope: "admin" | "read" | "app";
  /** The one app that a token of scope app covers. */
  readonly app: string | null;
  readonly version: string;
  /** With `{trace_id}` in it. */
  readonly trace_url: string | null;
}

export interface Problem {
  readonly code: string;
  readonly detail: string;
  readonly missing: readonly string[];
}

/** Null: could not be read, see the overview's problems. */
export interface AppRow {
  readonly slug: string;
  readonly name: string;
  readonly status: AppStatus;
  readonly webhook_url: string;
  readonly installations: Readonly<Record<InstallationStatus, number>>;
  readonly circuit: { readonly state: "closed" | "open" | "half_open"; readonly open_until: string | null };
  readonly parked: number | null;
  readonly dead_letters: number | null;
  /** Of each of the last 24 hours. */
  readonly attempts: readonly number[] | null;
  readonly delivered: readonly number[] | null;
}

export interface OverviewMessage {
  readonly at: string;
  readonly hours_from: string;
  readonly unreadable?: number | null;
  readonly problems: readonly Problem[];
  readonly items: readonly AppRow[];
  readonly removed?: readonly string[];
}

export interface StatsPeriod {
  readonly start: string;
  readonly attempts: number;
  readonly success_rate: number | null;
  readonly outcomes: Readonly<Record<Outcome, number>>;
  readonly latency_ms: { readonly count: number; readonly p50: number | null; readonly p95: number | null; readonly p99: number | null };
}

export type Range = "24h" | "7d" | "30d";

export interface Stats {
  readonly range: Range;
  readonly start: string;
  readonly end: string;
  readonly step_s: number;
  readonly totals: Omit<StatsPeriod, "start">;
  readonly periods: readonly StatsPeriod[];
  readonly event_types: readonly string[];
}

export interface Installation {
  readonly uuid: string;
  readonly app: string;
  readonly organization_id: string;
  readonly project_ids: readonly string[];
  readonly status: InstallationStatus;
  readonly webhook_url: string | null;
  readonly parked: number | null;
  readonly broken: { readonly at: string; readonly reason: BrokenReasonData | null } | null;
}

export interface AppRecord {
  readonly slug: string;
  readonly name: string;
  readonly webhook_url: string;
  readonly status: AppStatus;
  readonly events: readonly string[];
  readonly headers: Readonly<Record<string, string>>;
  readonly timeout_ms: number | null;
  readonly retry_schedule_s: readonly number[] | null;
  readonly max_in_flight: number | null;
  readonly ordered: boolean;
}

export interface LogRow {
  readonly date: string;
  readonly event_type: string;
  readonly event_id: string;
  readonly delivery_id: string;
  readonly installation_uuid: string;
  readonly organization_id?: string;
  readonly webhook_url: string;
  readonly attempt: number;
  readonly response_code: number;
  readonly outcome: Outcome;
  readonly duration_ms: number;
  readonly trace_id: string;
  readonly error_id?: string;
  readonly project_id?: string;
  readonly request_headers?: Readonly<Record<string, string>>;
  readonly request_body?: string;
  readonly response_body?: string | null;
  readonly error?: string | null;
}

export interface TestResult {
  readonly delivery_id: string;
  readonly installation_uuid: string;
  readonly webhook_url: string;
  readonly outcome: Outcome;
  readonly response_code: number;
  readonly duration_ms: number;
  readonly error: string | null;
  readonly trace_id: string;
}

export interface RotatedSecret {
  readonly client_secret: string;
  readonly webhook_secret: string;
  readonly previous_valid_until: string;
}

export interface AttemptSummary {
  readonly attempt: number;
  readonly at: string;
  readonly outcome: Outcome;
  readonly response_code: number;
  readonly duration_ms: number;
  readonly error: string | null;
}

/** As it is stored: what could not be read has neither delivery nor event. */
export interface DeadLetter {
  readonly sequence: number;
  readonly reason: string;
  readonly error: string | null;
  readonly dead_lettered_at: string;
  readonly delivery_id?: string;
  /** Null: it belongs to none. */
  readonly app?: string | null;
  readonly installation_uuid?: string;
  readonly attempts_made?: number;
  readonly attempts?: readonly AttemptSummary[];
  readonly event?: {
    readonly id: string;
    readonly resource: string;
    readonly action: string;
    readonly organization_id: string;
    readonly occurred_at: string;
  };
  /** Of a message that is kept as it was, because no delivery could be read from it. */
  readonly subject?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
  readonly body_base64?: string;
  /** The beginning only; it can't be replayed. */
  readonly body_cut?: boolean;
}

export interface Replay {
  readonly replay_id: string;
  readonly state: "running" | "done" | "failed";
  readonly matched: number;
  readonly replayed: number;
  readonly skipped: number;
  readonly error: string | null;
}

export interface StatusEventItem {
  readonly id: string;
  readonly type: string;
  readonly time: string;
  readonly data: Readonly<Record<string, unknown>> & { readonly app: string };
}

export interface Page<T> {
  readonly items: readonly T[];
  readonly next: string | number | null;
}
