/** Parsers for values on a command line. Each throws an Error that says what was wanted. */
import { readFileSync } from "node:fs";
import { parseDuration, parseInteger } from "../config/values.ts";
import { messageOf } from "../model/app-error.ts";
import { toRfc3339 } from "../model/clock.ts";
import { parseJsonObject } from "../model/json-object.ts";
import { membersOf } from "../model/json-text.ts";
import { parseRfc3339 } from "../model/rfc3339.ts";
import type { Reading } from "./command.ts";
import { UsageError } from "./exit-codes.ts";
import { lastAt } from "./zone.ts";

/**
 * `2h` is two hours ago, `10:05` the last time the clock showed it; else an RFC 3339 time, a date for its midnight, or a time without
 * an offset, in the zone of the reader. → RFC 3339
 */
export function pastTime(text: string, { zone, now }: Reading): string {
  if (/^\d+(ms|s|m|h|d)$/.test(text)) return new Date(now - parseDuration(text)).toISOString();
  const isTimeOfDay = /^\d\d:\d\d(:\d\d)?$/.test(text);
  const [, date = "", timeOfDay = "00:00"] = isTimeOfDay ? [text, "1970-01-01", text] : (WITHOUT_OFFSET.exec(text) ?? [text]);
  const read = parseRfc3339(date === "" ? text : `${date}T${timeOfDay.padEnd("00:00:00".length, ":00")}Z`);
  if (!read.ok) throw new Error(`wanted a duration such as 2h, or a time such as 10:05 or 2026-01-05T10:11:12Z (${read.problem})`);
  if (isTimeOfDay) return toRfc3339(lastAt(zone, read.epochMs, now));
  return toRfc3339(date === "" ? read.epochMs : zone.instantOf(read.epochMs));
}

const WITHOUT_OFFSET = /^(\d{4}-\d\d-\d\d)(?:[Tt ](\d\d:\d\d(?::\d\d)?))?$/;

export function positive(text: string): number {
  const found = parseInteger(text);
  if (found < 1) throw new Error("wanted 1 or more");
  return found;
}

/** `5s,30s,5m` → seconds; empty: no retries. */
export function seconds(text: string): number[] {
  return text === "" ? [] : text.split(",").map((part) => parseDuration(part.trim()) / 1000);
}

/** `default`: what an app has that was created without the option. */
export function orDefault<T>(parse: (text: string) => T): (text: string) => T | null {
  return (text) => {
    try {
      return text === "default" ? null : parse(text);
    } catch (error) {
      throw new Error(`${messageOf(error)}; or default`);
    }
  };
}

const PER: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3_600 };

/** `20/s`, `0.5/s` or `600/m` → times a second. */
export function rate(text: string): number {
  const [, count, unit = ""] = /^(\d+(?:\.\d+)?)\/([smh])$/.exec(text) ?? [];
  if (count === undefined) throw new Error("wanted a number a second such as 20/s, or a minute such as 600/m");
  return Number(count) / (PER[unit] ?? 1);
}

/** The inverse of `rate`, in the unit in which the count is 1 or more. */
export function rateText(perS: number): string {
  const [unit, seconds] = Object.entries(PER).find(([, each]) => perS * each >= 1) ?? ["h", 3_600];
  return `${Number((perS * seconds).toPrecision(6))}/${unit}`;
}

/** As `rate`; `none`: no limit. */
export function rateLimit(text: string): number | null {
  try {
    return text === "none" ? null : rate(text);
  } catch (error) {
    throw new Error(`${messageOf(error)}; or none`);
  }
}

/** `90s`, `1h` → seconds. */
export function wholeSeconds(text: string): number {
  const found = parseDuration(text) / 1000;
  if (!Number.isInteger(found) || found < 1) throw new Error("wanted whole seconds, 1s or more");
  return found;
}

/** `issue,metric_alert.*` */
export function commaSeparated(text: string): string[] {
  return text
    .split(",")
    .map((part) => part.trim())
    .filter((part) => part !== "");
}

/** `X-Team: blue` or `X-Team=blue`. */
export function header(text: string): [string, string] {
  const match = /^([^:=\s]+)\s*[:=]\s*(.*)$/.exec(text);
  if (!match) throw new Error("wanted <name>: <value>");
  return [match[1] ?? "", match[2] ?? ""];
}

export function port(text: string): number {
  const found = parseInteger(text);
  if (found > 65_535) throw new Error("wanted a port up to 65535");
  return found;
}

/** The text of a JSON object: itself, `@file`, or `-` for standard input. @throws UsageError */
export async function jsonObject(option: string, text: string, readInput: () => Promise<string>): Promise<string> {
  const found = text === "-" ? await readInput() : text.startsWith("@") ? readFile(option, text.slice(1)) : text;
  try {
    parseJsonObject(`--${option}`, found);
  } catch (error) {
    throw new UsageError(messageOf(error));
  }
  return found.trim();
}

function readFile(option: string, path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    throw new UsageError(`--${option}: can't read ${JSON.stringify(path)} (${messageOf(error)}), wanted a file with a JSON object`);
  }
}

/**
 * The text of an event's data. A webhook payload (`action`, `installation`, `data`, `actor`), such as those in
 * examples/payloads, stands for its `data`.
 * @throws UsageError
 */
export async function eventData(option: string, text: string, readInput: () => Promise<string>): Promise<string> {
  const json = await jsonObject(option, text, readInput);
  return isPayload(JSON.parse(json)) ? (membersOf(json).get("data") ?? json) : json;
}

const PAYLOAD_MEMBERS: readonly string[] = ["action", "installation", "data", "actor"];

function isPayload(value: Readonly<Record<string, unknown>>): boolean {
  const isObject = (member: unknown): boolean => typeof member === "object" && member !== null && !Array.isArray(member);
  return (
    typeof value["action"] === "string" &&
    isObject(value["installation"]) &&
    isObject(value["data"]) &&
    Object.keys(value).every((name) => PAYLOAD_MEMBERS.includes(name))
  );
}

const { rawJSON } = JSON as unknown as { rawJSON: (text: string) => unknown };

/** JSON.parse that keeps the text of numbers which JavaScript would round or format differently. */
export function parseExactly(text: string): unknown {
  const reviver = (_key: string, found: unknown, context?: { readonly source?: string }): unknown =>
    typeof found === "number" && context?.source !== undefined && String(found) !== context.source ? rawJSON(context.source) : found;
  return JSON.parse(text, reviver);
}
