/**
 * Log rows, acks, log lines and deadlines are collected for a few milliseconds and handled at ticks that the whole process shares: a
 * process with little to do wakes up once for all of them, and a busy one handles many at once.
 */
/** Records of deliveries are to be in Redis 50 ms after the answer, its own time included. */
const TICK_MS = 20;
/** Longer periods end at ticks further apart. */
const LONG_TICKS_MS = [1_000, 500, 250];
/** A timer may fire a little early; the tick after it would then be the same one again. */
const SHORTEST_MS = 5;

/** @returns milliseconds until a tick: 5 to 25 */
export function untilTick(nowMs: number): number {
  const rest = TICK_MS - (Math.floor(nowMs) % TICK_MS);
  return rest < SHORTEST_MS ? rest + TICK_MS : rest;
}

/**
 * For what is repeated: every wake-up costs more than most of what is then done.
 * @returns milliseconds until the shared tick that is nearest to `everyMs` from now; `everyMs` itself when it is no multiple of a tick
 */
export function untilSharedTick(nowMs: number, everyMs: number): number {
  const tickMs = LONG_TICKS_MS.find((ms) => everyMs % ms === 0);
  return tickMs === undefined ? everyMs : Math.round((nowMs + everyMs) / tickMs) * tickMs - nowMs;
}
