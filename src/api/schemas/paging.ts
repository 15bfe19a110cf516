/**
 * Pages of lists. Every list is newest first; `next` of a page is the `cursor` of the following one. A cursor is a position in the
 * list's order, not an item, so items that appear or disappear between two calls neither repeat nor hide others.
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

const CURSOR = /^(\d{1,15})(?:\.([\w~-]{1,100}))?$/;

export const cursor = z
  .string()
  .regex(CURSOR, "wanted the `next` of a page")
  .transform((text): Position => {
    const [, at = "", key = ""] = CURSOR.exec(text) ?? [];
    return { at: Number(at), key };
  })
  .meta({ description: "`next` of the previous page.", example: "1767607872345.acme-tracker" });

export function limit(byDefault: number, most = MAX_PAGE): z.ZodType<number> {
  return wholeNumber(1, most).default(Math.min(byDefault, most));
}

/** The parameters of every list. @param most POSTHORN_HTTP_MAX_PAGE_SIZE */
export function paged(byDefault = 100, most = MAX_PAGE) {
  return { limit: limit(byDefault, most), cursor: cursor.optional() };
}

export function cursorText({ at, key }: Position): string {
  return key === "" ? String(at) : `${at}.${key}`;
}

/** The cursor of a page that was read from a stream. @param before the sequence that the following page begins below */
export function streamCursor(before: number | null): string | null {
  return before === null ? null : cursorText({ at: before, key: "" });
}

/** The page of a list that is in memory as a whole. */
export function pageOfAll<T>(items: Iterable<T>, positionOf: (item: T) => Position, { cursor: from, limit: size }: PageQuery): Page<T> {
  const behind = [...items]
    .map((item) => ({ item, position: positionOf(item) }))
    .filter(({ position }) => from === undefined || newestFirst(from, position) < 0)
    .sort((a, b) => newestFirst(a.position, b.position));
  const last = behind.length > size ? behind[size - 1] : undefined;
  return { items: behind.slice(0, size).map(({ item }) => item), next: last === undefined ? null : cursorText(last.position) };
}

function newestFirst(a: Position, b: Position): number {
  if (a.at !== b.at) return b.at - a.at;
  return a.key < b.key ? -1 : a.key > b.key ? 1 : 0;
}
