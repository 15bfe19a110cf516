/** What an answer can't know, and why. */
import { AppError } from "../model/app-error.ts";

export interface Notes {
  add(note: string): void;
  list(): string[];
}

export function createNotes(): Notes {
  const notes = new Set<string>();
  return { add: (note) => void notes.add(note), list: () => [...notes] };
}

export async function unlessRedisIsAway<T>(reading: Promise<T>, otherwise: T, notes: Notes): Promise<T> {
  try {
    return await reading;
  } catch (error) {
    if (!(error instanceof AppError) || error.code !== "REDIS_UNREACHABLE") throw error;
    notes.add("Redis is away: the request log and what it knows of deliveries are missing here.");
    return otherwise;
  }
}
