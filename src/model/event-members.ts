/** Reads and checks the members of an event from their JSON texts. Every problem names the member, what was found and what was wanted. */
import { toRfc3339 } from "./clock.ts";
import { kindOf } from "./json-text.ts";
import { parseRfc3339 } from "./rfc3339.ts";

/** The event can't be read. The message is for its publisher. */
export class UnreadableEvent extends Error {}

/** Member → compact JSON text. */
export type Members = ReadonlyMap<string, string>;

export interface IdLimits {
  /** Characters of an id: it goes into headers, log rows and message ids. */
  readonly maxIdLength: number;
}

export function identifier(members: Members, name: string, limits?: IdLimits): string | undefined {
  const text = members.get(name);
  if (text === undefined || text === "null") return undefined;
  // The number's own text: an id above 2^53 must not be rounded.
  if (/^-?\d+$/.test(text)) return checkedId(name, text, limits);
  if (!text.startsWith('"')) throw new UnreadableEvent(`${name}: found ${kindOf(text)}, wanted a string or an integer`);
  return checkedId(name, JSON.parse(text) as string, limits);
}

export function checkedId(name: string, value: string | undefined, limits: IdLimits | undefined): string | undefined {
  return value === undefined ? undefined : checkedText(name, value, limits?.maxIdLength ?? Number.POSITIVE_INFINITY);
}

/** A name is hashed, compared, and shown in logs and terminals. */
export function checkedText(name: string, value: string, most: number): string {
  if (value.length === 0 || value.length > most)
    throw new UnreadableEvent(
      `${name}: found ${value.length} characters, wanted ${most === Number.POSITIVE_INFINITY ? "at least 1" : `1 to ${most}`}`,
    );
  if (!value.isWellFormed())
    throw new UnreadableEvent(`${name}: found ${quote(value)} with an unpaired surrogate, wanted well-formed Unicode`);
  if (/\p{Cc}/u.test(value)) throw new UnreadableEvent(`${name}: found ${quote(value)}, wanted no control characters`);
  return value;
}

export function matching(members: Members, name: string, pattern: RegExp, wanted: string): string | undefined {
  const value = identifier(members, name);
  if (value === undefined || pattern.test(value)) return value;
  throw new UnreadableEvent(`${name}: found ${quote(value)}, wanted ${wanted}`);
}

export function object(members: Members, name: string): string | undefined {
  const text = members.get(name);
  if (text === undefined || (text === "null" && name !== "data")) return undefined;
  if (!text.startsWith("{")) throw new UnreadableEvent(`${name}: found ${kindOf(text)}, wanted an object`);
  return text;
}

export function time(members: Members, name: string): string | undefined {
  const text = members.get(name);
  if (text === undefined || text === "null") return undefined;
  if (!text.startsWith('"')) throw new UnreadableEvent(`${name}: found ${kindOf(text)}, wanted an RFC 3339 time`);
  const value = JSON.parse(text) as string;
  const read = parseRfc3339(value);
  if (!read.ok) throw new UnreadableEvent(`${name}: found ${quote(value)}, ${read.problem}`);
  return toRfc3339(read.epochMs);
}

export function missing(name: string, wanted: string): never {
  throw new UnreadableEvent(`${name}: missing, wanted ${wanted}`);
}

export function quote(value: string): string {
  return JSON.stringify(value.length > 80 ? `${value.slice(0, 80)}…` : value);
}
