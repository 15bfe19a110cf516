/** Values as people write them on a command line. Each parser throws an Error that says what was wanted. */
import { readFileSync } from "node:fs";
import { parseDuration, parseInteger } from "../config/values.ts";
import { messageOf } from "../model/app-error.ts";

/** `2h` is two hours ago; else an RFC 3339 time or a date. → RFC 3339 */
export function pastTime(text: string, now = Date.now()): string {
  if (/^\d+(ms|s|m|h|d)$/.test(text)) return new Date(now - parseDuration(text)).toISOString();
  const at = /^\d{4}-\d\d-\d\d/.test(text) ? Date.parse(text) : Number.NaN;
  if (Number.isNaN(at)) throw new Error("wanted a duration such as 2h, or a time such as 2026-01-05T10:11:12Z");
  return new Date(at).toISOString();
}

export function positive(text: string): number {
  const found = parseInteger(text);
  if (found < 1) throw new Error("wanted 1 or more");
  return found;
}

/** `5s,30s,5m` → seconds; an empty text is no retries. */
export function seconds(text: string): number[] {
  return text === "" ? [] : text.split(",").map((part) => parseDuration(part.trim()) / 1000);
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

/** JSON text as it is, `@file`, or `-` for standard input. */
export async function jsonText(text: string, readInput: () => Promise<string>): Promise<string> {
  const found = text === "-" ? await readInput() : text.startsWith("@") ? readFileSync(text.slice(1), "utf8") : text;
  try {
    JSON.parse(found);
  } catch (error) {
    throw new Error(`not valid JSON (${messageOf(error)})`);
  }
  return found.trim();
}

const { rawJSON } = JSON as unknown as { rawJSON: (text: string) => unknown };

/** JSON.parse that keeps the text of numbers which JavaScript would round or write otherwise. */
export function parseExactly(text: string): unknown {
  const reviver = (_key: string, found: unknown, context?: { readonly source?: string }): unknown =>
    typeof found === "number" && context?.source !== undefined && String(found) !== context.source ? rawJSON(context.source) : found;
  return JSON.parse(text, reviver);
}
