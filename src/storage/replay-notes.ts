/** Keeps the progress of replays under `replay:<id>`, for a day. */
import type { Clock } from "../model/clock.ts";
import type { Replay, ReplayNotes } from "../model/replay.ts";
import { keys } from "./keys.ts";
import type { RedisClient } from "./redis.ts";
import { redisUnreachable, unlessWrongType } from "./redis-reading.ts";

const TTL_S = 86_400;
/** A replica notes its running replays every second; after this silence it has died. */
const SILENT_MS = 30_000;

export function createReplayNotes(redis: RedisClient, clock: Clock): ReplayNotes {
  return {
    note: (replay) =>
      redis.set(keys.replay(replay.id), JSON.stringify({ ...replay, noted_at: clock.now() }), "EX", TTL_S).then(
        () => {},
        () => {},
      ),

    async find(id) {
      let value: string | null;
      try {
        value = await unlessWrongType(redis.get(keys.replay(id)), null);
      } catch (error) {
        throw redisUnreachable(`replay ${id} does not run on this replica, and those of others can't be read`, error);
      }
      if (value === null) return null;
      const noted = read(value);
      if (noted === null) return null;
      const { noted_at: notedAt, ...replay } = noted;
      if (replay.state !== "running" || clock.now() - notedAt < SILENT_MS) return replay;
      return { ...replay, state: "failed", error: "its replica stopped; dead letters that were not replayed yet are still stored" };
    },
  };
}

/** @returns null for any other value */
function read(value: string): (Replay & { noted_at: number }) | null {
  try {
    const { id, app, state, matched, replayed, skipped, error, noted_at } = JSON.parse(value) as Record<keyof Replay | "noted_at", unknown>;
    const isNote =
      typeof id === "string" &&
      ["running", "done", "failed"].includes(String(state)) &&
      [matched, replayed, skipped, noted_at].every((count) => Number.isSafeInteger(count) && Number(count) >= 0) &&
      [app, error].every((text) => text === null || typeof text === "string");
    return isNote ? ({ id, app, state, matched, replayed, skipped, error, noted_at } as Replay & { noted_at: number }) : null;
  } catch {
    return null;
  }
}
