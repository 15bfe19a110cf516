/** Waits for a promise, but not for ever. */
import type { Clock } from "./clock.ts";

/** @returns whether it has resolved in time; a rejection in time is the caller's. No timer is left behind. */
export async function resolvesWithin(clock: Clock, ms: number, promise: Promise<unknown>): Promise<boolean> {
  let cancel = (): void => {};
  const late = new Promise<false>((resolve) => {
    cancel = clock.after(ms, () => resolve(false));
  });
  try {
    return await Promise.race([promise.then(() => true as const), late]);
  } finally {
    cancel();
  }
}
