/** The records of the registry bucket, as the parts of the registry pass them on. */

/** @param record null when it was deleted. @param storedAt by the server's clock, milliseconds since the epoch */
export type RecordListener<T> = (key: string, record: T | null, revision: number, storedAt: number) => void;

/** A record as it is in force. */
export interface FoundRecord<T> {
  /** Null if neither the newest value nor an earlier revision can be read. */
  readonly record: T | null;
  /** The revision of the newest value, readable or not. */
  readonly revision: number;
  /** By the server's clock, milliseconds since the epoch. */
  readonly storedAt: number;
  /** Why the newest value can't be read; null if it can. */
  readonly problem: string | null;
}

/** The records of one kind, read and written by their keys. */
export interface Records<T> {
  /** @throws AppError NATS_UNREACHABLE, as do the writes */
  read(key: string): Promise<FoundRecord<T> | null>;
  /** The revision that deleted the record; 0 if it exists or never did. */
  deletedAt(key: string): Promise<number>;
  /** The last value of a deleted record, if the bucket's history still has it. */
  readDeleted(key: string): Promise<T | null>;
  create(key: string, record: T): Promise<number | "conflict">;
  update(key: string, record: T, revision: number): Promise<number | "conflict">;
  /** Resolves when the listeners have seen the revision. */
  reached(revision: number): Promise<void>;
}

/** A record whose newest value can't be read. */
export interface InvalidRecord {
  readonly key: string;
  readonly revision: number;
  readonly problem: string;
  /** The problem is a secret that can't be decrypted. */
  readonly isSecret: boolean;
  /** Whether an earlier revision is in force. */
  readonly inForce: boolean;
}
