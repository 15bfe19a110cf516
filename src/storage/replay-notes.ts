/** Keeps how far replays are under `replay:<id>`, for a day. */
import { AppError, messageOf } from "../model/app-error.ts";
import type { Clock } from "../model/clock.ts";
import type { Replay, ReplayNotes } from "../model/replay.ts";
import { keys } from "./keys.ts";
import type { RedisClient } from "./redis.ts";

const TTL_S = 86_400;
/** Its replica notes it every second. */
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
        value = await redis.get(keys.replay(id));
      } catch (error) {
        throw new AppError("REDIS_UNREACHABLE", `replay ${id} is not of this replica, and Redis can't be read: ${messageOf(error)}`, {
          retryable: true,
          cause: error,
        });
      }
      if (value === null) return null;
      const { noted_at: notedAt, ...replay } = JSON.parse(value) as Replay & { noted_at: number };
      if (replay.state !== "running" || clock.now() - notedAt < SILENT_MS) return replay;
      return { ...replay, state: "failed", error: "its replica has gone; what it had not replayed yet is still in dead letters" };
    },
  };
}
