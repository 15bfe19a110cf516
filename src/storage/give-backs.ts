/**
 * Counts how often a message was given back, so that the other redeliveries count as crashes (jetstream/message.ts).
 *
 * BACK-1  Notes that Redis refused are kept and added later. Until then no message's count is known, because other replicas may have lost
 *         notes as well.
 */
import type { Clock } from "../model/clock.ts";
import { keys } from "./keys.ts";
import type { RedisClient } from "./redis.ts";

/** Longer than anybody gives back the same message. */
const TTL_S = 7 * 86_400;
const ADD_AGAIN_MS = 1_000;

const FIELD = "given_back";
const SCRIPT = `redis.call('HINCRBY', KEYS[1], '${FIELD}', ARGV[1]) redis.call('EXPIRE', KEYS[1], ARGV[2])`;

interface Message {
  readonly stream: string;
  readonly sequence: number;
}

export function createGiveBacks(redis: RedisClient, clock: Clock, isStopping = (): boolean => false) {
  /** Redis key → give-backs that are not saved. */
  const unsaved = new Map<string, number>();
  let isWaiting = false;

  const add = async (key: string, count: number): Promise<void> => {
    try {
      await redis.eval(SCRIPT, 1, key, count, TTL_S);
    } catch {
      unsaved.set(key, (unsaved.get(key) ?? 0) + count);
    }
  };

  const addLater = (): void => {
    if (isWaiting || unsaved.size === 0) return;
    isWaiting = true;
    clock.after(ADD_AGAIN_MS, async () => {
      for (const key of unsaved.keys()) {
        // Others may have been noted since.
        const count = unsaved.get(key) ?? 0;
        unsaved.delete(key);
        await add(key, count);
        if (unsaved.has(key)) break;
      }
      isWaiting = false;
      addLater();
    });
  };

  return {
    note({ stream, sequence }: Message): void {
      void add(keys.giveBacks(stream, sequence), 1).then(addLater);
    },
    mayGiveBack: () => !isWaiting || isStopping(),
    async count({ stream, sequence }: Message): Promise<number | null> {
      if (isWaiting) return null;
      try {
        return Number((await redis.hmget(keys.giveBacks(stream, sequence), FIELD))[0] ?? 0);
      } catch {
        return null;
      }
    },
  };
}
