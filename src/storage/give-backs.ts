/** Counts how often a message was given back, so that the other redeliveries count as crashes (jetstream/message.ts). */
import { keys } from "./keys.ts";
import type { RedisClient } from "./redis.ts";

/** Longer than anybody gives back the same message. */
const TTL_S = 7 * 86_400;

const FIELD = "given_back";
const SCRIPT = `redis.call('HINCRBY', KEYS[1], '${FIELD}', 1) redis.call('EXPIRE', KEYS[1], ARGV[1])`;

interface Message {
  readonly stream: string;
  readonly sequence: number;
}

export function createGiveBacks(redis: RedisClient) {
  return {
    note({ stream, sequence }: Message): void {
      // One that is not noted counts as a crash, of which it takes many.
      redis.eval(SCRIPT, 1, keys.giveBacks(stream, sequence), TTL_S).catch(() => {});
    },
    async count({ stream, sequence }: Message): Promise<number | null> {
      try {
        return Number((await redis.hmget(keys.giveBacks(stream, sequence), FIELD))[0] ?? 0);
      } catch {
        return null;
      }
    },
  };
}
