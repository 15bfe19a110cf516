/** Converts an app's record to the texts of its form and back. The API validates the result. */
import type { App, AppPatch } from "../client/api-types.generated.ts";
import { ApiError } from "./api.ts";
import { durationText, readDuration } from "./duration-text.ts";
import { type FieldProblem, MISSING } from "./problem-text.ts";

/** Stands for a header's stored value. */
const KEPT = "[redacted]";

/** A value of `order_by` that is a JSON Pointer. */
export const BY_DATA = "data";

/** The texts of the fields, by name. */
export interface AppTexts {
  readonly name: string;
  readonly webhook_url: string;
  readonly status: string;
  readonly timeout_ms: string;
  readonly max_in_flight: string;
  /** Durations with commas, `none`, or empty for the default. */
  readonly retry_schedule_s: string;
  /** Codes and classes with commas, `none`, or empty for the default. */
  readonly retry_on: string;
  readonly "rate_limit.per_s": string;
  readonly "rate_limit.burst": string;
  readonly order_by: string;
  readonly order_pointer: string;
  readonly on_exhausted: string;
}

export function textsOf(record: App): AppTexts {
  const { timeout_ms: timeoutMs, max_in_flight: maxInFlight, retry_schedule_s: retries, rate_limit: rate, order_by: orderBy } = record;
  const isByData = orderBy.startsWith("/");
  return {
    name: record.name,
    webhook_url: record.webhook_url,
    status: record.status,
    timeout_ms: timeoutMs === null ? "" : durationText(timeoutMs),
    max_in_flight: numberText(maxInFlight),
    retry_schedule_s: listText(retries?.map((seconds) => durationText(Math.round(seconds * 1000))) ?? null),
    retry_on: listText(record.retry_on),
    "rate_limit.per_s": numberText(rate?.per_s ?? null),
    "rate_limit.burst": numberText(rate?.burst ?? null),
    order_by: isByData ? BY_DATA : orderBy,
    order_pointer: isByData ? orderBy : "",
    on_exhausted: record.on_exhausted,
  };
}

type Members = Record<string, unknown>;

/** The members whose fields are in the form; a disabled field is not. @throws ApiError with a problem for each wrong field */
export function membersOf(data: FormData): Members {
  const problems: FieldProblem[] = [];
  const members: Members = {};
  const read = (name: keyof AppTexts | "slug", member: string, convert: (text: string) => unknown): void => {
    const text = data.get(name);
    if (text === null) return;
    try {
      members[member] = convert(String(text).trim());
    } catch (error) {
      problems.push({ path: name, message: (error as Error).message });
    }
  };
  for (const name of ["name", "webhook_url"] as const) read(name, name, required);
  for (const name of ["status", "on_exhausted"] as const) read(name, name, (text) => text);
  if (data.has("slug")) read("slug", "slug", required);
  read("timeout_ms", "timeout_ms", (text) => (text === "" ? null : duration(text)));
  read("max_in_flight", "max_in_flight", (text) => (text === "" ? null : number(text)));
  read("retry_schedule_s", "retry_schedule_s", (text) => partsOf(text)?.map((part) => duration(part) / 1000) ?? null);
  read("retry_on", "retry_on", partsOf);
  read("order_by", "order_by", (choice) => (choice === BY_DATA ? String(data.get("order_pointer")).trim() : choice));
  read("rate_limit.per_s", "rate_limit", (text) => (text === "" ? null : { per_s: number(text), burst: null }));
  if (members["rate_limit"] != null)
    read("rate_limit.burst", "rate_limit", (text) => ({ ...(members["rate_limit"] as object), burst: text === "" ? null : number(text) }));
  if (data.has("events")) members["events"] = eventsIn(data);
  if (data.has("headers.stored")) members["headers"] = headersIn(data, problems);
  if (problems.length > 0) throw new ApiError(0, "Some fields are wrong", problems);
  return members;
}

/** The members that differ from the record. A header that is gone is removed. @throws ApiError */
export function patchOf(record: App, data: FormData): AppPatch {
  const members = Object.entries(membersOf(data)).map(([name, value]): [string, unknown] => {
    if (name !== "headers") return [name, value];
    const removed = Object.keys(record.headers).filter((header) => !Object.hasOwn(value as object, header));
    return [name, { ...(value as object), ...Object.fromEntries(removed.map((header) => [header, null])) }];
  });
  const before = record as unknown as Members;
  return Object.fromEntries(members.filter(([name, value]) => JSON.stringify(value) !== JSON.stringify(before[name])));
}

/** The chosen event types, and those that are typed but not yet added. */
function eventsIn(data: FormData): string[] {
  return [...new Set(data.getAll("events").flatMap((text) => eventPatternsIn(String(text))))];
}

export function eventPatternsIn(text: string): string[] {
  return text.split(/[\s,]+/).filter(Boolean);
}

/** Rows without a name are left out; a row without a value keeps the one that is stored. */
function headersIn(data: FormData, problems: FieldProblem[]): Record<string, string> {
  const values = data.getAll("headers.values").map(String);
  const stored = new Set(data.getAll("headers.stored").map(String));
  const rows = data
    .getAll("headers")
    .map((name, at) => ({ name: String(name).trim(), value: values[at]?.trim() ?? "" }))
    .filter(({ name, value }) => name !== "" || value !== "");
  if (rows.some(({ name }) => name === "")) problems.push({ path: "headers", message: "Enter a name for each value." });
  const bare = rows.filter(({ name, value }) => value === "" && !stored.has(name));
  if (bare.length > 0) problems.push({ path: "headers", message: `Enter a value for ${bare.map(({ name }) => name).join(", ")}.` });
  return Object.fromEntries(rows.map(({ name, value }) => [name, value === "" ? KEPT : value]));
}

function required(text: string): string {
  if (text === "") throw new Error(MISSING);
  return text;
}

function duration(text: string): number {
  const ms = readDuration(text);
  if (ms === null) throw new Error(`${text === "" ? "An empty part" : `“${text}”`} is no duration: enter one such as 500ms, 5s or 2m.`);
  return ms;
}

function number(text: string): number {
  const value = Number(text);
  if (!Number.isFinite(value)) throw new Error(`“${text}” is no number.`);
  return value;
}

function partsOf(text: string): string[] | null {
  if (text === "") return null;
  return text === "none" ? [] : text.split(",").map((part) => part.trim());
}

function numberText(value: number | null): string {
  return value === null ? "" : String(value);
}

function listText(values: readonly string[] | null): string {
  return values === null ? "" : values.length === 0 ? "none" : values.join(", ");
}
