/** Durations as they are typed: `500ms`, `5s`, `2m`, `1h`, `3d`. */
const UNITS_MS: ReadonlyArray<readonly [unit: string, ms: number]> = [
  ["d", 86_400_000],
  ["h", 3_600_000],
  ["m", 60_000],
  ["s", 1_000],
  ["ms", 1],
];

/** A number without a unit is in seconds. @returns milliseconds; null: another form */
export function readDuration(text: string): number | null {
  const [, number, unit = "s"] = /^(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)?$/.exec(text.trim().toLowerCase()) ?? [];
  const ms = UNITS_MS.find(([known]) => known === unit)?.[1];
  return number === undefined || ms === undefined ? null : Number(number) * ms;
}

/** In the largest unit that leaves a whole number. */
export function durationText(ms: number): string {
  const [unit, size] = UNITS_MS.find(([, candidate]) => ms >= candidate && ms % candidate === 0) ?? ["ms", 1];
  return `${ms / size}${unit}`;
}
