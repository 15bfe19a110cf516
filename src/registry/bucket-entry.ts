/** An entry of the registry bucket, read from its message. */

export interface BucketEntry {
  readonly key: string;
  readonly revision: number;
  /** JSON text; null for a deletion. */
  readonly value: string | null;
  /** By the server's clock, milliseconds since the epoch. */
  readonly storedAt: number;
}

/** As the library's KvEntry. */
export interface KeyMessage {
  readonly key: string;
  readonly revision: number;
  readonly operation: string;
  readonly value: Uint8Array;
  readonly created: Date;
}

/** Stands for bytes that are not UTF-8: no kind of record reads it. */
const NOT_UTF8 = "not UTF-8";
const utf8 = new TextDecoder("utf-8", { fatal: true });

export function toEntry({ key, revision, operation, value, created }: KeyMessage): BucketEntry {
  // Another program's message is a value, whatever its headers say.
  const isDeletion = operation === "DEL" || operation === "PURGE";
  return { key, revision, value: isDeletion ? null : decode(value), storedAt: created.getTime() };
}

function decode(bytes: Uint8Array): string {
  try {
    return utf8.decode(bytes);
  } catch {
    return NOT_UTF8;
  }
}
