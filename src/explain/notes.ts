/** What an answer can't know, and why. */
import { AppError } from "../model/app-error.ts";

export interface Notes {
  add(note: string): void;
  list(): string[];
  /** Redis was asked and could not be read. */
  redisMissing(): void;
  isRedisMissing(): boolean;
}

export function createNotes(): Notes {
  const notes = new Set<string>();
  let isRedisMissing = false;
  return {
    add: (note) => void notes.add(note),
    list: () => [...notes],
    redisMissing() {
      isRedisMissing = true;
      notes.add("Redis is away: the request log and what it knows of deliveries are missing here.");
    },
    isRedisMissing: () => isRedisMissing,
  };
}

/** What Redis could not be asked for may be there all the same. */
export function notFound(what: string, notes: Notes): AppError {
  const text = [what, ...notes.list()].map((part) => part.replace(/\.$/, "")).join(". ");
  return notes.isRedisMissing() ? new AppError("REDIS_UNREACHABLE", text, { retryable: true }) : new AppError("NOT_FOUND", text);
}

export async function unlessRedisIsAway<T>(reading: Promise<T>, otherwise: T, notes: Notes): Promise<T> {
  try {
    return await reading;
  } catch (error) {
    if (!(error instanceof AppError) || error.code !== "REDIS_UNREACHABLE") throw error;
    notes.redisMissing();
    return otherwise;
  }
}
