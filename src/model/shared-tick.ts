/**
 * Log rows, acks, log lines and deadlines are collected for a few milliseconds and handled at ticks that the whole process shares: a
 * process with little to do wakes up once for all of them, and a busy one handles many at once.
 */
/** Records of deliveries are to be in Redis 50 ms after the answer, its own time included. */
const TICK_MS = 20;
/** A timer may fire a little early; the tick after it would then be the same one again. */
const SHORTEST_MS = 5;

/** @returns milliseconds until a tick: 5 to 25 */
export function untilTick(nowMs: number): number {
  const rest = TICK_MS - (Math.floor(nowMs) % TICK_MS);
  return rest < SHORTEST_MS ? rest + TICK_MS : rest;
}
