/** Reads the record in force and changes it by compare-and-set, under a caller's precondition. */
import { isDeepStrictEqual } from "node:util";
import { AppError } from "../model/app-error.ts";
import { checkPrecondition, hasPrecondition, type Precondition } from "./record-tag.ts";
import type { FoundRecord, Records } from "./record-types.ts";

export interface Revised<T> {
  readonly record: T;
  readonly revision: number;
  /** record-tag.ts. */
  readonly tag: string;
  /** Why an earlier value is in force: the newest one can't be read. Null as a rule. */
  readonly problem: string | null;
}

export interface PutResult<T> extends Revised<T> {
  readonly created: boolean;
  /** Names of the changed members. */
  readonly changed: readonly string[];
}

export interface Change<T> {
  /** Returns the new record. @param current the record in force; null if there is none */
  readonly next: (current: T | null) => T | Promise<T>;
  /** Names of the members that differ. */
  readonly changed: (before: T | null, after: T) => readonly string[];
}

export interface RecordAccess<T> {
  /** Retries until the compare-and-set wins; resolves when the listeners have the change. An unreadable record is overwritten. */
  change(key: string, precondition: Precondition, change: Change<T>): Promise<PutResult<T> & { readonly before: T | null }>;
  /** @param what the record in words, for messages. @throws AppError NOT_FOUND, CONFLICT when no revision can be read */
  read(key: string, what: string): Promise<Revised<T>>;
  /** @throws AppError NOT_FOUND, PRECONDITION_FAILED */
  checkFound(key: string, what: string, precondition: Precondition): Promise<void>;
}

const MAX_TRIES = 20;

export function createRecordAccess<T extends object>(records: Records<T>, tagOf: (record: T, revision: number) => string): RecordAccess<T> {
  const tagOfFound = ({ record, revision }: FoundRecord<T>): string => (record === null ? String(revision) : tagOf(record, revision));

  return {
    async change(key, precondition, { next, changed }) {
      for (let tries = 0; tries < MAX_TRIES; tries++) {
        const found = await records.read(key);
        const before = found?.record ?? null;
        if (hasPrecondition(precondition)) checkPrecondition(key, precondition, found && tagOfFound(found));
        const after = await next(before);
        const made = { before, problem: null, created: before === null, changed: changed(before, after) };
        if (found !== null && before !== null && found.problem === null && isSame(before, after)) {
          return { ...made, record: before, revision: found.revision, tag: tagOf(before, found.revision), changed: [] };
        }
        const revision = found === null ? await records.create(key, after) : await records.update(key, after, found.revision);
        if (revision === "conflict") continue;
        await records.reached(revision);
        return { ...made, record: after, revision, tag: tagOf(after, revision) };
      }
      throw new AppError("CONFLICT", `record ${key} was changed by others ${MAX_TRIES} times in a row`, { retryable: true });
    },

    async read(key, what) {
      const found = await records.read(key);
      if (found === null) throw new AppError("NOT_FOUND", `no ${what}`);
      const { record, revision, problem } = found;
      if (record === null) throw new AppError("CONFLICT", `the record of ${what} can't be read (${problem}); PUT replaces it`);
      return { record, revision, tag: tagOf(record, revision), problem };
    },

    async checkFound(key, what, precondition) {
      const found = await records.read(key);
      if (found === null) throw new AppError("NOT_FOUND", `no ${what}`);
      checkPrecondition(key, precondition, tagOfFound(found));
    },
  };
}

/** A PUT that changes nothing writes nothing. */
function isSame(before: object, after: object): boolean {
  // Through JSON, so that an undefined member equals a missing one.
  const [old, made] = [before, after].map((record) => JSON.stringify({ ...record, updated_at: null })) as [string, string];
  // Members in another order are no change.
  return old === made || isDeepStrictEqual(JSON.parse(old), JSON.parse(made));
}
