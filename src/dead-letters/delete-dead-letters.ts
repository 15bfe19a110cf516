/** Removes all dead letters that match a filter, for good. Oldest first; a run ends in time to be answered, and can be repeated. */
import type { Clock } from "../model/clock.ts";
import type { DeadLetterFilter } from "./dead-letter-filter.ts";
import type { DeadLetters } from "./dead-letters.ts";

export interface DeletedDeadLetters {
  /** Removed by this run; those that match, for a dry run. */
  readonly count: number;
  /** False: the time was up, and more match. */
  readonly isComplete: boolean;
}

/** Covers dead letters that were stored before the call. @throws AppError NATS_UNREACHABLE */
export type DeleteDeadLetters = (
  filter: DeadLetterFilter,
  options: { readonly dryRun: boolean; readonly withinMs: number },
) => Promise<DeletedDeadLetters>;

export interface DeleteDeadLettersDependencies {
  readonly deadLetters: Pick<DeadLetters, "list" | "remove" | "lastSequence">;
  readonly clock: Clock;
}

const PAGE_SIZE = 50;

export function createDeleteDeadLetters({ deadLetters, clock }: DeleteDeadLettersDependencies): DeleteDeadLetters {
  return async (filter, { dryRun, withinMs }) => {
    const lastSequence = await deadLetters.lastSequence();
    const until = clock.now() + withinMs;
    let count = 0;
    for (let after: number | null = 0; after !== null; ) {
      if (clock.now() >= until) return { count, isComplete: false };
      const { items, next } = await deadLetters.list(filter, after, PAGE_SIZE);
      const covered = items.filter(({ sequence }) => sequence <= lastSequence);
      if (!dryRun) await Promise.all(covered.map(({ sequence }) => deadLetters.remove(sequence)));
      count += covered.length;
      after = covered.length < items.length ? null : next;
    }
    return { count, isComplete: true };
  };
}
