/** Counts the hand-outs of a message that have not ended: each of them may be a crash (subscribers/parked/poison-limit.ts). */
import { keys } from "./keys.ts";
import type { RedisClient } from "./redis.ts";

/** Longer than any pause between two hand-outs of the same message. */
const TTL_S = 7 * 86_400;

/** Never below zero: a hand-out may be given back after the end of another one, which has forgotten both. */
const ADD = `
local count = redis.call('INCRBY', KEYS[1], ARGV[1])
if count > 0 then redis.call('EXPIRE', KEYS[1], ARGV[2]) else redis.call('DEL', KEYS[1]) end
return count`;

interface HandedOut {
  readonly stream: string;
  readonly sequence: number;
  readonly dedupKey: string | null;
}

export function createHandOuts(redis: RedisClient) {
  const keyOf = ({ stream, sequence, dedupKey }: HandedOut): string => keys.handOuts(stream, sequence, dedupKey);
  const add = async (message: HandedOut, by: number): Promise<number> => Number(await redis.eval(ADD, 1, keyOf(message), by, TTL_S));
  return {
    /** @returns hand-outs that have not ended, this one included; null when Redis does not answer */
    begin: (message: HandedOut): Promise<number | null> => add(message, 1).catch(() => null),
    /** Forgets all of them: the process has survived. */
    end: (message: HandedOut): void => void redis.del(keyOf(message)).catch(() => {}),
    /** Forgets the last one. */
    giveBack: (message: HandedOut): void => void add(message, -1).catch(() => {}),
  };
}
