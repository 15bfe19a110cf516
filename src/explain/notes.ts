/** Notes on the limits of an answer. */
import { AppError } from "../model/app-error.ts";

export interface Notes {
  add(note: string): void;
  list(): string[];
}

export function createNotes(): Notes {
  const notes = new Set<string>();
  return { add: (note) => void notes.add(note), list: () => [...notes] };
}

/** @returns `fallback`, with a note, when Redis can't be reached. */
export async function unlessRedisIsDown<T>(reading: Promise<T>, fallback: T, notes: Notes): Promise<T> {
  try {
    return await reading;
  } catch (error) {
    if (!(error instanceof AppError) || error.code !== "REDIS_UNREACHABLE") throw error;
    notes.add("Redis is unreachable: this answer has no request log and none of the delivery state that Redis keeps.");
    return fallback;
  }
}
