/** Waits for what happens elsewhere. The time-out is how long a broken test takes to fail, never a thing that is measured. */
export async function eventually<T>(check: () => T | Promise<T>, timeoutMs = 120_000): Promise<Exclude<T, false | null | undefined>> {
  const until = Date.now() + timeoutMs;
  for (;;) {
    try {
      const value = await check();
      if (value !== false && value !== undefined && value !== null) return value as Exclude<T, false | null | undefined>;
      if (Date.now() > until) throw new Error(`still ${String(value)} after ${timeoutMs} ms`);
    } catch (error) {
      if (Date.now() > until) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
