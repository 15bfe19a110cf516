/** The ports of the status room: counters in Redis, records in the registry bucket, and the status stream. */
import type { CountedAs } from "../model/outcome.ts";

/** One installation's counters of one UTC day. */
export type HealthDay = { readonly day: string } & Readonly<Record<CountedAs, number>>;

export interface HealthStore {
  /** Counters of UTC days (YYYY-MM-DD), in the given order; a day without attempts is all zero. */
  read(installationUuid: string, days: readonly string[]): Promise<HealthDay[]>;
  /** Removes all counters of the installation. */
  clear(installationUuid: string): Promise<void>;
}

/** An app's `delivery.*` events of one minute that were not published. */
export interface SuppressedEvents {
  readonly app: string;
  /** Milliseconds since the epoch. */
  readonly since: number;
  readonly until: number;
  readonly count: number;
}

export interface EventBudget {
  /** Whether an event of the app may be published; counts it. Always true while Redis is down. Never rejects. */
  take(app: string): Promise<boolean>;
  /** Counts an event that was taken and can't be published. @returns whether it is counted */
  suppress(app: string): Promise<boolean>;
  /** All that are not reported yet. @throws AppError REDIS_UNREACHABLE */
  suppressed(): Promise<readonly SuppressedEvents[]>;
  reported(events: SuppressedEvents): Promise<void>;
}

/** The registry bucket, for transitions; registry/store.ts implements it. */
export interface StatusRecords<R> {
  /** The record in force, with the newest revision. `record` is null if there is a value that can't be read. */
  read(key: string): Promise<{ readonly record: R | null; readonly revision: number } | null>;
  /** The revision that deleted the record; 0: it was not deleted. A record that comes back must not reuse its numbers. */
  deletedAt(key: string): Promise<number>;
  create(key: string, record: R): Promise<number | "conflict">;
  update(key: string, record: R, revision: number): Promise<number | "conflict">;
  /** Resolves when this process has applied the revision. */
  reached(revision: number): Promise<void>;
}

/** The status stream, for transitions. */
export interface StatusStream<E> {
  /** Resolves when the event is stored; its id is the Nats-Msg-Id. @throws AppError PUBLISH_FAILED */
  publish(event: E): Promise<void>;
  /** The id of the last event on the event's subject, or null. @throws AppError NATS_UNREACHABLE */
  lastId(event: E): Promise<string | null>;
}

/** Shared by all that build status events. */
export interface StatusEventOptions {
  /** The subject prefix of the platform. */
  readonly prefix: string;
  /** @param path of the page; null: its address is not configured */
  readonly dashboardUrl: (path: string) => string | null;
}
