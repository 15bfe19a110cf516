/** Sizes in words, on the page and at the command line. */

/** In the largest fitting unit: `4.2 MB`. */
export function bytes(value: number): string {
  const units = ["B", "kB", "MB", "GB", "TB"];
  const power = Math.min(units.length - 1, Math.max(0, Math.floor(Math.log10(Math.max(value, 1)) / 3)));
  const scaled = value / 1000 ** power;
  return `${power === 0 || scaled >= 100 ? Math.round(scaled) : Math.round(scaled * 10) / 10} ${units[power]}`;
}

/** `12.3 MB of 1 GB`. @param used null: unknown @param limit null: none */
export function memory(used: number | null, limit: number | null): string {
  if (used === null) return "unknown";
  return limit === null ? `${bytes(used)}, no limit` : `${bytes(used)} of ${bytes(limit)}`;
}
