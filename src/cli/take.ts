/** Rows per call: every service returns this many, whatever its limits. */
export const PAGE = 100;

/** Reads a paged list, or its first `limit` rows. */
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
