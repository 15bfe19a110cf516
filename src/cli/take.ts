/** Rows asked for at once: every service gives so many, whatever its limits are. */
export const PAGE = 100;

/** All, or the first so many, of a list that comes in pages. */
export async function take<T>(
  items: AsyncIterable<T>,
  limit = Number.POSITIVE_INFINITY,
): Promise<{ readonly rows: T[]; readonly more: boolean }> {
  const rows: T[] = [];
  for await (const item of items) {
    if (rows.length === limit) return { rows, more: true };
    rows.push(item);
  }
  return { rows, more: false };
}
