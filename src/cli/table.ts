/**
 * Lays out a table. A pipe gets every cell whole. On a terminal that is too narrow, ids become beginnings that are still unambiguous
 * in the table, times lose their year, then columns marked as spare are left out, then the longest cells are cut. A detail (an error)
 * is never cut: it goes to a line of its own below its row.
 */
import { epochMsOf, replaceTimes } from "../model/rfc3339.ts";
import { oneLine } from "./one-line.ts";
import { timeIn, type Zone } from "./zone.ts";

export type Style = "bold" | "dim" | "red" | "green" | "yellow" | "cyan";

export interface Column<T> {
  readonly title: string;
  /** Null: empty. */
  readonly cell: (row: T) => string | null;
  readonly style?: (row: T) => Style | undefined;
  /** The cells are RFC 3339 times: the title has their zone. */
  readonly isTime?: true;
  /** The cells are texts of the service, with times in them. */
  readonly isText?: true;
  /** The cells are ids that commands take, whole or their beginning. */
  readonly isId?: true;
  /** Left out where there is no room; the last one first. */
  readonly isSpare?: true;
  /** Goes below its row where there is no room. Only the last column. */
  readonly isDetail?: true;
}

export interface LaidOutRow {
  readonly cells: ReadonlyArray<{ readonly text: string; readonly style: Style | undefined }>;
  /** For a line of its own. */
  readonly below: string | null;
}

export interface Layout {
  readonly titles: readonly string[];
  readonly rows: readonly LaidOutRow[];
}

export interface LayoutOptions {
  /** Characters in a line; null: any number. */
  readonly room: number | null;
  readonly zone: Zone;
}

export const GAP = "  ";
const SHORTEST_CUT = 6;
/** `dlv_` and 8 digits, or 8 digits. */
const DIGITS = 8;
const LONG_ID = /^((?:dlv_|rpl_)?)(?:[0-9a-f]{32}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})$/;

interface Shown<T> {
  readonly column: Column<T>;
  title: string;
  texts: string[];
}

export function layOut<T>(columns: ReadonlyArray<Column<T>>, rows: readonly T[], { room, zone }: LayoutOptions): Layout {
  let shown = columns.map((column): Shown<T> => {
    const cells = rows.map((row) => column.cell(row) ?? "");
    if (column.isTime) return { column, ...timesOf(column.title, cells, zone) };
    const texts = column.isText ? cells.map((cell) => replaceTimes(cell, (at) => timeIn(zone, at))) : cells;
    return { column, title: column.title, texts: texts.map(oneLine) };
  });
  const isTooWide = (some: ReadonlyArray<Shown<T>>): boolean => room !== null && widthOf(some) > room;
  if (isTooWide(shown)) shorten(shown);
  const detail = isTooWide(shown) && shown.at(-1)?.column.isDetail ? shown.at(-1) : undefined;
  shown = shown.filter((one) => one !== detail);
  for (let at = shown.length - 1; at >= 0 && isTooWide(shown); at--)
    if (shown[at]?.column.isSpare) shown = shown.filter((_, index) => index !== at);
  if (room !== null) cut(shown, room);
  return {
    titles: pad(shown.map((one) => ({ ...one, text: one.title }))),
    rows: rows.map((row, at) => {
      const texts = pad(shown.map((one) => ({ ...one, text: one.texts[at] ?? "" })));
      const cells = shown.map(({ column }, index) => ({ text: texts[index] ?? "", style: column.style?.(row) }));
      return { cells, below: detail?.texts[at] || null };
    }),
  };
}

function columnWidth({ title, texts }: Shown<never>): number {
  return Math.max(title.length, ...texts.map((text) => text.length));
}

function widthOf(shown: ReadonlyArray<Shown<never>>): number {
  return shown.reduce((sum, one) => sum + columnWidth(one) + GAP.length, -GAP.length);
}

/** The last cell of a row has nothing behind it. */
function pad(cells: ReadonlyArray<Shown<never> & { readonly text: string }>): string[] {
  return cells.map((cell, at) => (at === cells.length - 1 ? cell.text : cell.text.padEnd(columnWidth(cell))));
}

/** Times with one offset have it in the title. */
function timesOf(title: string, cells: readonly string[], zone: Zone): { title: string; texts: string[] } {
  const times = cells.map((cell) => (cell === "" ? null : epochMsOf(cell)));
  const known = times.filter((at) => at !== null);
  const offsets = new Set(known.map((at) => zone.offset(at)));
  const [offset] = offsets;
  const texts = times.map((at) => (at === null ? "" : zone.wallClock(at) + (offsets.size === 1 ? "" : zone.offset(at))));
  return { title: offsets.size === 1 ? `${title} (${offset === "Z" ? "UTC" : offset})` : title, texts };
}

function shorten(shown: ReadonlyArray<Shown<never>>): void {
  for (const one of shown) {
    if (one.column.isTime) one.texts = one.texts.map((text) => text.slice("2026-".length));
    if (one.column.isId) one.texts = shortIds(one.texts);
  }
}

/** The shortest beginnings of at least eight digits that distinguish the ids from each other. */
export function shortIds(ids: readonly string[]): string[] {
  const different = new Set(ids);
  const isUnambiguous = (digits: number): boolean => new Set([...different].map((id) => shortId(id, digits))).size === different.size;
  let digits = DIGITS;
  while (digits < 36 && !isUnambiguous(digits)) digits++;
  return ids.map((id) => shortId(id, digits));
}

function shortId(id: string, digits: number): string {
  const [, prefix] = LONG_ID.exec(id) ?? [];
  return prefix === undefined ? id : id.slice(0, prefix.length + digits);
}

/** Cuts the widest column that is neither an id nor a time, until the rows fit or nothing is left to cut. */
function cut(shown: ReadonlyArray<Shown<never>>, room: number): void {
  for (let excess = widthOf(shown) - room; excess > 0; excess = widthOf(shown) - room) {
    const [widest] = shown
      .filter(({ column }) => !column.isId && !column.isTime)
      .sort((one, other) => columnWidth(other) - columnWidth(one));
    const width = widest === undefined ? 0 : columnWidth(widest);
    if (widest === undefined || width <= SHORTEST_CUT) return;
    const next = Math.max(SHORTEST_CUT, width - excess);
    const shortened = (text: string): string => (text.length <= next ? text : `${text.slice(0, next - 1)}…`);
    widest.title = shortened(widest.title);
    widest.texts = widest.texts.map(shortened);
  }
}
