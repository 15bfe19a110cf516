const SHORTEST_PAUSE_MS = 20;
const LONGEST_PAUSE_MS = 500;

/** Waits for what happens elsewhere. The time-out is how long a broken test takes to fail, never a thing that is measured. */
export async function eventually<T>(check: () => T | Promise<T>, timeoutMs = 120_000): Promise<Exclude<T, false | null | undefined>> {
  const begun = Date.now();
  const until = begun + timeoutMs;
  for (;;) {
    try {
      const value = await check();
      if (value !== false && value !== undefined && value !== null) return value as Exclude<T, false | null | undefined>;
      if (Date.now() > until) throw new Error(`still ${String(value)} after ${timeoutMs} ms`);
    } catch (error) {
      if (Date.now() > until) throw error;
    }
    // What takes long need not be known at once: looking costs time that others need.
    const pauseMs = Math.min(LONGEST_PAUSE_MS, Math.max(SHORTEST_PAUSE_MS, (Date.now() - begun) / 4));
    await new Promise((resolve) => setTimeout(resolve, pauseMs));
  }
}
