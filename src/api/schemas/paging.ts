/**
 * Pages of lists. Every list is newest first; `next` of a page is the `cursor` of the following one. A cursor is the list's
 * name and a position in its order, not an item, so items that appear or disappear between two calls neither repeat nor hide others.
 */
import { z } from "zod";
import { wholeNumber } from "./parameters.ts";

export const MAX_PAGE = 1_000;

export interface Position {
  /** Milliseconds since the epoch, or a sequence in a stream. */
  readonly at: number;
  /** Orders items with the same `at`; empty in a stream. */
  readonly key: string;
}

export interface Page<T> {
  readonly items: readonly T[];
  /** The cursor of the following page; null: this is the last one. */
  readonly next: string | null;
}

export interface PageQuery {
  readonly cursor?: Position | undefined;
  readonly limit: number;
}

export function limit(byDefault: number, most = MAX_PAGE): z.ZodType<number> {
  return wholeNumber(1, most).default(Math.min(byDefault, most));
}

export interface List {
  /** The parameters of every list. @param most POSTHORN_HTTP_MAX_PAGE_SIZE */
  query(byDefault?: number, most?: number): { limit: z.ZodType<number>; cursor: z.ZodOptional<z.ZodType<Position>> };
  /** The page of a list that is in memory as a whole. */
  page<T>(items: Iterable<T>, positionOf: (item: T) => Position, query: PageQuery): Page<T>;
  next(position: Position | null): string | null;
  /** The cursor of a page that was read from a stream. @param before the sequence that the following page begins below */
  nextInStream(before: number | null): string | null;
}

/** @param name begins the cursors, so that a cursor of another list is refused */
export function createList(name: string): List {
  const form = new RegExp(`^${name}\\.(\\d{1,15})(?:\\.([\\w~-]{1,100}))?$`);
  const cursor = z
    .string()
    .regex(form, `wanted the \`next\` of a page of this list, ${name}.…`)
    .transform((text): Position => {
      const [, at = "", key = ""] = form.exec(text) ?? [];
      return { at: Number(at), key };
    })
    .meta({ description: "`next` of the previous page.", example: `${name}.1767607872345` });

  const next = (position: Position | null): string | null =>
    position && [name, position.at, position.key].filter((part) => part !== "").join(".");

  return {
    query: (byDefault = 100, most = MAX_PAGE) => ({ limit: limit(byDefault, most), cursor: cursor.optional() }),
    next,
    nextInStream: (before) => next(before === null ? null : { at: before, key: "" }),
    page(items, positionOf, { cursor: from, limit: size }) {
      const behind = [...items]
        .map((item) => ({ item, position: positionOf(item) }))
        .filter(({ position }) => from === undefined || newestFirst(from, position) < 0)
        .sort((a, b) => newestFirst(a.position, b.position));
      const last = behind.length > size ? behind[size - 1] : undefined;
      return { items: behind.slice(0, size).map(({ item }) => item), next: next(last?.position ?? null) };
    },
  };
}

function newestFirst(a: Position, b: Position): number {
  if (a.at !== b.at) return b.at - a.at;
  return a.key < b.key ? -1 : a.key > b.key ? 1 : 0;
}
