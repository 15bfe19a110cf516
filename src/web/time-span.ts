/** A time span in the form of the address (UTC, so that a link means the same everywhere) and of the browser's fields. */
import { zone } from "./zone.ts";

export interface TimeSpan {
  /** RFC 3339; null: open. */
  readonly start: string | null;
  /** Not included. */
  readonly end: string | null;
  /** The problem with the span; null if there is none. */
  readonly problem: string | null;
}

const MINUTE_MS = 60_000;

/** From the first to the last minute, both as a whole. Either may be empty: open. */
export function spanOf(from: string, to: string): TimeSpan {
  for (const [name, text] of Object.entries({ From: from, To: to })) {
    if (text !== "" && Number.isNaN(Date.parse(text)))
      return { start: null, end: null, problem: `${name}: found “${text}”, wanted a time such as 2026-01-05T10:11Z.` };
  }
  const start = from === "" ? null : Date.parse(from);
  const end = to === "" ? null : Date.parse(to) + MINUTE_MS;
  const isTurned = start !== null && end !== null && start >= end;
  return {
    start: start === null ? null : new Date(start).toISOString(),
    end: end === null ? null : new Date(end).toISOString(),
    problem: isTurned ? "“From” is later than “to”." : null,
  };
}

/** Value of an `<input type="datetime-local">` in the page's zone → RFC 3339; null if empty. */
export function instantOf(local: string): string | null {
  return local === "" ? null : new Date(zone.isUtc() ? `${local}Z` : local).toISOString();
}

/** The same → `2026-01-05T10:11Z`. */
export function addressTimeOf(local: string): string | null {
  return instantOf(local)?.replace(/:[^:]*Z$/, "Z") ?? null;
}

/** The reverse; empty for an invalid time. */
export function localTimeOf(text: string): string {
  const at = new Date(text);
  if (Number.isNaN(at.getTime())) return "";
  if (zone.isUtc()) return at.toISOString().slice(0, 16);
  const two = (value: number): string => String(value).padStart(2, "0");
  const day = `${String(at.getFullYear()).padStart(4, "0")}-${two(at.getMonth() + 1)}-${two(at.getDate())}`;
  return `${day}T${two(at.getHours())}:${two(at.getMinutes())}`;
}
