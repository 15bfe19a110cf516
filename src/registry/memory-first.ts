/**
 * Reads records from memory and writes them in a pipeline, for a caller that changes very many: the apps file.
 *
 * MEMORY-1  Memory may be behind the bucket by as much as the watch is. A write that relies on what is no longer so loses its
 *     compare-and-set; from then on the key is read from the server. So does the creation of a record that was deleted before.
 */
import type { Bucket } from "./bucket.ts";
import type { BucketEntry } from "./bucket-entry.ts";

export type RecordSource = Pick<Bucket, "read" | "history" | "create" | "update">;

/** @param known the newest readable entry; null: there is none, or it was deleted. @param isInvalid whether the newest entry can't be read */
export function createMemoryFirst(
  bucket: Bucket,
  known: (key: string) => BucketEntry | null,
  isInvalid: (key: string) => boolean,
): RecordSource {
  const behind = new Set<string>();

  const update: Bucket["update"] = async (key, value, revision) => {
    const result = await bucket.updateInPipeline(key, value, revision);
    if (result === "conflict") behind.add(key);
    return result;
  };
  return {
    read: async (key) => (behind.has(key) || isInvalid(key) ? bucket.read(key) : known(key)),
    history: bucket.history,
    create: (key, value) => (behind.has(key) ? bucket.create(key, value) : update(key, value, known(key)?.revision ?? 0)),
    update,
  };
}
