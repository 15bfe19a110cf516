/** Reads Redis for callers of the API: a damaged value affects only itself, and errors are explained. */
import { AppError, messageOf } from "../model/app-error.ts";

/** @returns the counter; 0 for any other value */
export function countIn(text: string | null | undefined): number {
  const count = Number(text ?? 0);
  return Number.isSafeInteger(count) && count > 0 ? count : 0;
}

/** @returns the value, or the fallback if the key holds another type */
export async function unlessWrongType<T>(value: Promise<T>, fallback: T): Promise<T> {
  try {
    return await value;
  } catch (error) {
    if (messageOf(error).startsWith("WRONGTYPE")) return fallback;
    throw error;
  }
}

/** Why Redis can't be used now; null if it can. */
export type RedisProblem = () => string | null;

/**
 * Reads for a caller who must not take an unreachable Redis for an empty answer.
 * @param what the subject of the message, e.g. `the request log`
 * @param key the key that is read, if it is only one
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

/** @param what the failed operation, e.g. `the request log can't be read` */
export function redisUnreachable(what: string, error: unknown): AppError {
  return new AppError("REDIS_UNREACHABLE", `${what}: ${reasonOf(error)}`, { retryable: true, cause: error });
}

const REASONS: ReadonlyArray<readonly [RegExp, string]> = [
  [/timed out|timeout/i, "Redis did not answer in time"],
  [/^(?:NOAUTH|WRONGPASS)/, "Redis rejects the user or password (POSTHORN_REDIS_URL)"],
  [/^NOPERM/, "the Redis user is not allowed to do this (see docs/security.md)"],
  [/^READONLY/, "this Redis server is a read-only replica"],
  [/^LOADING/, "Redis is still loading its data"],
  [/^OOM/, "Redis is out of memory"],
  [/^MISCONF/, "Redis can't save its data and refuses writes"],
  [/^(?:CLUSTERDOWN|MASTERDOWN|TRYAGAIN|MOVED|ASK)/, "the Redis cluster can't serve this key now"],
  [/^[A-Z]{3,}/, "Redis refused the command"],
];

/** The client library's own messages are about its internals. */
function reasonOf(error: unknown): string {
  const message = messageOf(error);
  return REASONS.find(([pattern]) => pattern.test(message))?.[1] ?? "Redis is not connected";
}
