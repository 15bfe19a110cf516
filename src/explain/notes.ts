/** Notes on the limits of an answer. */
import { AppError } from "../model/app-error.ts";

export interface Notes {
  add(note: string): void;
  /** Redis was asked and could not be read. */
  addRedisDown(): void;
  isRedisDown(): boolean;
  list(): string[];
}

export function createNotes(): Notes {
  const notes = new Set<string>();
  let isRedisDown = false;
  return {
    add: (note) => void notes.add(note),
    addRedisDown() {
      isRedisDown = true;
      notes.add("Redis is unreachable: this answer has no request log and none of the delivery state that Redis keeps.");
    },
    isRedisDown: () => isRedisDown,
    list: () => [...notes],
  };
}

/** NOT_FOUND, or REDIS_UNREACHABLE when Redis may know it. */
export function notFound(problem: string, notes: Notes): AppError {
  const text = [problem, ...notes.list()].map((part) => part.replace(/\.$/, "")).join(". ");
  return notes.isRedisDown() ? new AppError("REDIS_UNREACHABLE", text, { retryable: true }) : new AppError("NOT_FOUND", text);
}

/** The error for an app's own token: the same for what does not exist and for what is another app's. */
export function notVisible(problem: string, notes: Notes): AppError {
  return notes.isRedisDown()
    ? new AppError("REDIS_UNREACHABLE", `${problem}; Redis is unreachable`, { retryable: true })
    : new AppError("NOT_FOUND", problem);
}

/** @returns `fallback`, with a note, when Redis can't be reached. */
export async function unlessRedisIsDown<T>(reading: Promise<T>, fallback: T, notes: Notes): Promise<T> {
  try {
    return await reading;
  } catch (error) {
    if (!(error instanceof AppError) || error.code !== "REDIS_UNREACHABLE") throw error;
    notes.addRedisDown();
    return fallback;
  }
}
