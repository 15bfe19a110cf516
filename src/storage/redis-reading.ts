/** What is read from Redis: other programs can write there, so a damaged value costs itself only; and errors in plain words. */
import { AppError, messageOf } from "../model/app-error.ts";

/** A counter; 0 for what is none. */
export function countIn(text: string | null | undefined): number {
  const count = Number(text ?? 0);
  return Number.isSafeInteger(count) && count > 0 ? count : 0;
}

/** The value, or the fallback where the key holds another type. */
export async function unlessWrongType<T>(value: Promise<T>, fallback: T): Promise<T> {
  try {
    return await value;
  } catch (error) {
    if (messageOf(error).startsWith("WRONGTYPE")) return fallback;
    throw error;
  }
}

/** Why Redis can't be used now; null: it can. */
export type RedisProblem = () => string | null;

/**
 * Reads on somebody's behalf: an answer always means what it says.
 * @param what of the message, e.g. `the request log`; @param key that is read, where it is one
 * @throws AppError REDIS_UNREACHABLE, or REDIS_KEY_INVALID when the key holds something else
 */
export async function reading<T>(what: string, problem: RedisProblem, read: () => Promise<T>, key?: string): Promise<T> {
  const found = problem();
  if (found !== null) throw redisUnreachable(`${what} can't be read`, found);
  try {
    return await read();
  } catch (error) {
    if (key !== undefined && messageOf(error).startsWith("WRONGTYPE"))
      throw new AppError("REDIS_KEY_INVALID", `${what} can't be read: Redis key ${key} holds another type of value; delete it`, {
        cause: error,
      });
    throw redisUnreachable(`${what} can't be read`, error);
  }
}

/** @param what can't be done */
export function redisUnreachable(what: string, error: unknown): AppError {
  return new AppError("REDIS_UNREACHABLE", `${what}: ${reasonOf(error)}`, { retryable: true, cause: error });
}

const REASONS: ReadonlyArray<readonly [RegExp, string]> = [
  [/timed out|timeout/i, "Redis did not answer in time"],
  [/^(?:NOAUTH|WRONGPASS)/, "Redis wants another user or password (POSTHORN_REDIS_URL)"],
  [/^NOPERM/, "the Redis user is not allowed to do this (see docs/security.md)"],
  [/^READONLY/, "this Redis server is a read-only replica"],
  [/^LOADING/, "Redis is still loading its data"],
  [/^OOM/, "Redis is out of memory"],
  [/^MISCONF/, "Redis can't save its data and refuses writes"],
  [/^(?:CLUSTERDOWN|MASTERDOWN|TRYAGAIN|MOVED|ASK)/, "the Redis cluster can't serve this key now"],
  [/^[A-Z]{3,}/, "Redis refused the command"],
];

/** The client's own messages are about its streams, queues and options. */
function reasonOf(error: unknown): string {
  const message = messageOf(error);
  return REASONS.find(([pattern]) => pattern.test(message))?.[1] ?? "Redis is not connected";
}
