/** Reads on somebody's behalf: an answer always means what it says. */
import { AppError, messageOf } from "../model/app-error.ts";

/** Why Redis can't be used now; null: it can. */
export type RedisProblem = () => string | null;

/**
 * @param what of the message, e.g. `the request log`; @param key that is read, where it is one
 * @throws AppError REDIS_UNREACHABLE, or REDIS_KEY_INVALID when the key holds something else
 */
export async function reading<T>(what: string, problem: RedisProblem, read: () => Promise<T>, key?: string): Promise<T> {
  const found = problem();
  if (found !== null) throw unreachable(what, found);
  try {
    return await read();
  } catch (error) {
    if (key !== undefined && isWrongType(error))
      throw new AppError("REDIS_KEY_INVALID", `${what} can't be read: Redis key ${key} holds another type of value; delete it`, {
        cause: error,
      });
    throw unreachable(what, messageOf(error), error);
  }
}

function unreachable(what: string, reason: string, cause?: unknown): AppError {
  return new AppError("REDIS_UNREACHABLE", `${what} can't be read: ${reason}`, { retryable: true, cause });
}

function isWrongType(error: unknown): boolean {
  return messageOf(error).startsWith("WRONGTYPE");
}
