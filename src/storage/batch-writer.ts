/**
 * Writes a batch of attempts: log rows, health counters, stats, delivery marks and notes together, so that a mark is never
 * there without its row nor the other way round. A single server gets all of it in one call; a cluster one call for what has
 * one tag, an app's rows, stats and marks or an installation's health, and each note by itself.
 *
 * W1  A batch has a number, and the script remembers the last one of each writer (and tag): what is sent again because its
 *     answer was lost is written once, also when Redis gets to the first one after its successor. Notes say the same however often they are written.
 * W2  What a cluster has written of a batch is not sent again with the rest, however long a node is away.
 */

import {
  addToGroups,
  createGroup,
  type Group,
  type LogEntry,
  NOTE_SCRIPT,
  type Note,
  SCRIPT,
  scriptCall,
  type WriteOptions,
} from "./batch-script.ts";
import { MARK_TTL_S } from "./dedup-record.ts";
import { keys } from "./keys.ts";
import type { RedisClient } from "./redis.ts";

export interface Batch {
  readonly entries: readonly LogEntry[];
  readonly notes: readonly Note[];
}

/** The same batch again under the same number when it failed. @returns what was wrong with single keys. */
export type WriteBatch = (writer: string, number: number, batch: Batch) => Promise<string[]>;

type ScriptedRedis = RedisClient & {
  writeBatch(keyCount: number, ...keysAndArguments: Array<string | number>): Promise<string[]>;
  writeNote(key: string, field: string, value: string, ttlS: number): Promise<unknown>;
};

/** @returns what was wrong with single keys. */
type Write = () => Promise<string[]>;

export function createWriteBatch(redis: RedisClient, options: WriteOptions): WriteBatch {
  redis.defineCommand("writeBatch", { lua: SCRIPT });
  redis.defineCommand("writeNote", { lua: NOTE_SCRIPT, numberOfKeys: 1 });
  const { writeBatch, writeNote } = redis as ScriptedRedis;
  const call = (batchKey: string, number: number, group: Group, notes: Batch["notes"]): Promise<string[]> => {
    const { scriptKeys, args } = scriptCall(group, notes, options);
    return writeBatch.call(redis, scriptKeys.length + 1, batchKey, ...scriptKeys, number, ...args);
  };

  if (!redis.isCluster) {
    return (writer, number, { entries, notes }) => {
      const group = createGroup();
      for (const entry of entries) addToGroups(entry, group, group, options);
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
    for (const entry of entries) addToGroups(entry, groupOf(entry.app), groupOf(entry.installationUuid), options);
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
            writeNote.call(redis, key, field ?? "", value, MARK_TTL_S).then(() => []),
      ),
    ];
  };

  let underWay = { number: 0, left: [] as Write[], problems: [] as string[] };
  return async (writer, number, batch) => {
    if (underWay.number !== number) underWay = { number, left: writesOf(writer, number, batch), problems: [] };
    const { left, problems } = underWay;
    const results = await Promise.allSettled(left.map((write) => write()));
    for (const result of results) if (result.status === "fulfilled") problems.push(...result.value);
    underWay.left = left.filter((_, at) => results[at]?.status === "rejected");
    const failed = results.find((result) => result.status === "rejected");
    if (failed !== undefined) throw failed.reason;
    return problems;
  };
}
