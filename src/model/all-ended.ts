/** Waits for all of several promises. */

/** Rejects with the first fault, but only after all have ended. */
export async function allEnded(work: ReadonlyArray<Promise<unknown>>): Promise<void> {
  for (const result of await Promise.allSettled(work)) if (result.status === "rejected") throw result.reason;
}
