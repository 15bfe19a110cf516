/** What the health rule needs from storage. */
import type { CountedAs } from "../model/outcome.ts";

/** One installation's counters of one UTC day. */
export type HealthDay = { readonly day: string } & Readonly<Record<CountedAs, number>>;

export interface HealthStore {
  /** The given UTC days (YYYY-MM-DD), in the order asked for; a day without attempts is all zero. */
  read(installationUuid: string, days: readonly string[]): Promise<HealthDay[]>;
  /** Removes all counters of the installation. */
  clear(installationUuid: string): Promise<void>;
}

/** What a transition needs of the registry bucket; registry/store.ts has it. */
export interface StatusRecords<R> {
  /** As it is in force, with the newest revision; `record` is null when there is a value and it can't be read. */
  read(key: string): Promise<{ readonly record: R | null; readonly revision: number } | null>;
  /** The revision that deleted the record, 0 if none did: a record that comes back does not use its numbers again. */
  deletedAt(key: string): Promise<number>;
  create(key: string, record: R): Promise<number | "conflict">;
  update(key: string, record: R, revision: number): Promise<number | "conflict">;
  /** Resolves when this process acts by the revision. */
  reached(revision: number): Promise<void>;
}

/** What a transition needs of the status stream. */
export interface StatusStream<E> {
  /** Resolves when it is stored; the event's id is its Nats-Msg-Id. @throws AppError PUBLISH_FAILED */
  publish(event: E): Promise<void>;
  /** The id of the last event on the subject that this event goes to, or null. @throws AppError NATS_UNREACHABLE */
  lastId(event: E): Promise<string | null>;
}
