/** Attempt counts by app, period and outcome. */
import type { Outcome } from "./outcome.ts";

export interface Latency {
  readonly count: number;
  /** Milliseconds; null without attempts. */
  readonly p50: number | null;
  readonly p95: number | null;
  readonly p99: number | null;
}

export interface StatsPeriod {
  /** Milliseconds since the epoch. */
  readonly start: number;
  readonly outcomes: Readonly<Record<Outcome, number>>;
  /** Latency of the attempts that were answered or timed out. */
  readonly latency: Latency;
}

export interface AppStats {
  readonly total: StatsPeriod;
  /** Oldest first. */
  readonly periods: readonly StatsPeriod[];
  /** The event types with rows in the request log, the last attempted first. */
  readonly eventTypes: readonly string[];
}

/** Attempts of one hour. */
export interface Volume {
  readonly attempts: number;
  readonly delivered: number;
}

/** @throws AppError REDIS_UNREACHABLE */
export interface StatsQuery {
  /** Periods of `stepMs`, a multiple of an hour, from `start`, the beginning of an hour; or of a minute, within the last 6 hours. */
  ofApp(app: string, start: number, stepMs: number, steps: number): Promise<AppStats>;
  /** Each app's volume in each of the hours. @param hours their starts */
  ofHours(apps: readonly string[], hours: readonly number[]): Promise<Volume[][]>;
}
