/**
 * Writes a batch of attempts: log rows, health counters, stats, dedup records and notes. A single server gets all of it in one
 * call, so a dedup record never exists without its row. A cluster gets one call for each app's rows, stats and dedup records, one
 * for each installation's health and one for each note.
 *
 * WRITE-1  Batches are numbered, and the script remembers each writer's (and tag's) last number: a batch that is sent again because its
 *     answer was lost is written once, even if the first copy arrives late. Notes are idempotent.
 * WRITE-2  The calls of a batch that a cluster has answered are not repeated with the others, however long a node is unreachable.
 */
import { addToGroup, createGroup, type Group } from "./batch-group.ts";
import { NOTE_SCRIPT, SCRIPT, scriptCall, secondsOf, type WriteOptions } from "./batch-script.ts";
import { keys } from "./keys.ts";
import { HIGHEST, type LogEntry, type Note } from "./log-entry.ts";
import { rootTtlS } from "./packed-hash.ts";
import type { RedisClient } from "./redis.ts";

export interface Batch {
  readonly entries: readonly LogEntry[];
  readonly notes: readonly Note[];
}

/** A failed batch is written again under the same number. @returns problems of single keys */
export type WriteBatch = (writer: string, number: number, batch: Batch) => Promise<string[]>;

type ScriptedRedis = RedisClient & {
  writeBatch(keyCount: number, ...keysAndArgument: Array<string | Buffer>): Promise<string[]>;
  writeNote(key: string, field: string | Buffer, value: string, ttlS: number, rootTtlS: number): Promise<unknown>;
};

/** @returns problems of single keys */
type Write = () => Promise<string[]>;

export function createWriteBatch(redis: RedisClient, options: WriteOptions): WriteBatch {
  redis.defineCommand("writeBatch", { lua: SCRIPT });
  redis.defineCommand("writeNote", { lua: NOTE_SCRIPT, numberOfKeys: 1 });
  const { writeBatch, writeNote } = redis as ScriptedRedis;
  const call = (batchKey: string, number: number, group: Group, notes: Batch["notes"]): Promise<string[]> => {
    const { scriptKeys, packed } = scriptCall(number, group, notes, options);
    return writeBatch.call(redis, scriptKeys.length + 1, batchKey, ...scriptKeys, packed);
  };

  const ttlOf = (field: Note["field"]): number => (field === HIGHEST ? options.dedupTtlMs : options.notesTtlMs);

  if (!redis.isCluster) {
    return (writer, number, { entries, notes }) => {
      const group = createGroup();
      for (const entry of entries) addToGroup(entry, group, group, options.recoveredAt);
      return call(keys.batch(writer, null), number, group, notes);
    };
  }

  const writesOf = (writer: string, number: number, { entries, notes }: Batch): Write[] => {
    const groups = new Map<string, Group>();
    const groupOf = (tag: string): Group => {
      const group = groups.get(tag) ?? createGroup();
      groups.set(tag, group);
      return group;
    };
    for (const entry of entries) addToGroup(entry, groupOf(entry.app), groupOf(entry.installationUuid), options.recoveredAt);
    const scripts = [...groups].map(
      ([tag, group]) =>
        () =>
          call(keys.batch(writer, tag), number, group, []),
    );
    return [
      ...scripts,
      ...notes.map(
        ({ key, field, value }) =>
          () =>
            writeNote.call(redis, key, field ?? "", value, secondsOf(ttlOf(field)), rootTtlS(options.notesTtlMs)).then(() => []),
      ),
    ];
  };

  let pending = { number: 0, writes: [] as Write[], problems: [] as string[] };
  return async (writer, number, batch) => {
    if (pending.number !== number) pending = { number, writes: writesOf(writer, number, batch), problems: [] };
    const { writes, problems } = pending;
    const results = await Promise.allSettled(writes.map((write) => write()));
    for (const result of results) if (result.status === "fulfilled") problems.push(...result.value);
    pending.writes = writes.filter((_, at) => results[at]?.status === "rejected");
    const failed = results.find((result) => result.status === "rejected");
    if (failed !== undefined) throw failed.reason;
    return problems;
  };
}
