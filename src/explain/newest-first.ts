/** Merges sources of a list, each read as far as its bounds allow, into one page in one order. Pure. */

/** A position in a list, newest first: by time (milliseconds since the epoch), then by key. */
export interface ListPosition {
  readonly at: number;
  readonly key: string;
}

export interface Slice<T extends ListPosition> {
  readonly candidates: readonly T[];
  /** Everything after this time has been looked at; null: all of the source has. */
  readonly doneTo: number | null;
}

export interface MergedPage<T> {
  readonly items: readonly T[];
  /** Where the following page begins; null: this is the last one. */
  readonly next: ListPosition | null;
}

export function newestFirst(a: ListPosition, b: ListPosition): number {
  if (a.at !== b.at) return b.at - a.at;
  return a.key < b.key ? -1 : a.key > b.key ? 1 : 0;
}

export function isBehind(position: ListPosition, cursor: ListPosition | null): boolean {
  return cursor === null || newestFirst(cursor, position) < 0;
}

/**
 * A candidate that another source may precede has to wait for the next page: the page ends where the first source stopped looking.
 * Of candidates with the same key the newest counts.
 */
export function mergeNewest<T extends ListPosition>(
  slices: ReadonlyArray<Slice<T>>,
  cursor: ListPosition | null,
  limit: number,
): MergedPage<T> {
  const stops = slices.flatMap(({ doneTo }) => doneTo ?? []);
  const stop = stops.length === 0 ? null : Math.max(...stops);
  const byKey = new Map<string, T>();
  for (const candidate of slices.flatMap(({ candidates }) => candidates).sort(newestFirst)) {
    if (!byKey.has(candidate.key)) byKey.set(candidate.key, candidate);
  }
  const behind = [...byKey.values()].filter((candidate) => isBehind(candidate, cursor) && (stop === null || candidate.at > stop));
  const items = behind.slice(0, limit);
  const last = items.at(-1);
  if (behind.length > limit && last !== undefined) return { items, next: { at: last.at, key: last.key } };
  if (stop === null) return { items, next: null };
  // A page always ends before the one that it follows.
  return { items, next: { at: cursor === null ? stop : Math.min(stop, cursor.at - 1), key: "" } };
}
