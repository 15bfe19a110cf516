/** Waits until the registry watch has seen a revision: a change answers only when this process acts by it. */
import { AppError } from "../model/app-error.ts";
import type { Clock } from "../model/clock.ts";

export interface RevisionWaiters {
  /** The last revision seen. */
  seen(): number;
  advance(revision: number): void;
  /** Starts over from 0, for a bucket that replaces another. */
  reset(): void;
  /** @throws AppError NATS_UNREACHABLE when the revision is not seen in time */
  reached(revision: number): Promise<void>;
  /** Ends all waits. */
  release(): void;
}

const TIMEOUT_MS = 5_000;

interface Waiter {
  readonly revision: number;
  readonly resolve: () => void;
}

export function createRevisionWaiters(clock: Clock): RevisionWaiters {
  /** By revision: an advance looks at the first ones only. */
  const waiters: Waiter[] = [];
  let seen = 0;

  const reached = (revision: number): Promise<void> =>
    new Promise((resolve, reject) => {
      const end = (done: () => void): void => {
        waiters.splice(waiters.indexOf(waiter), 1);
        cancel();
        done();
      };
      const waiter: Waiter = { revision, resolve: () => end(resolve) };
      // Revisions are waited for in about their order.
      waiters.splice(waiters.findLastIndex(({ revision: other }) => other <= revision) + 1, 0, waiter);
      const problem = `the change is stored as revision ${revision}, but the registry watch has not seen it yet`;
      const cancel = clock.after(TIMEOUT_MS, () => end(() => reject(new AppError("NATS_UNREACHABLE", problem, { retryable: true }))));
    });

  return {
    seen: () => seen,
    advance(revision) {
      seen = revision;
      for (let [first] = waiters; first !== undefined && first.revision <= seen; [first] = waiters) first.resolve();
    },
    reset() {
      seen = 0;
    },
    async reached(revision) {
      if (seen < revision) await reached(revision);
    },
    release() {
      for (const { resolve } of [...waiters]) resolve();
    },
  };
}
