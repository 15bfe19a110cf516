/** Converts an app's record to the texts of a form and back. The API validates the result. */

import type { App } from "../client/api-types.generated.ts";
import { ApiError } from "./api.ts";

export interface AppForm {
  readonly name: string;
  readonly webhook_url: string;
  readonly status: string;
  /** One per line. */
  readonly events: string;
  /** `Name: value`, one per line. */
  readonly headers: string;
  readonly timeout_ms: string;
  readonly max_in_flight: string;
  readonly ordered: string;
  /** Numbers with commas, `none`, or empty for the default. */
  readonly retry_schedule_s: string;
  /** Codes and classes with commas, `none`, or empty for the default. */
  readonly retry_on: string;
}

export function formOf(record: App): AppForm {
  const { name, webhook_url, status, events, headers, timeout_ms, max_in_flight, ordered, retry_schedule_s, retry_on } = record;
  return {
    name,
    webhook_url,
    status,
    events: events.join("\n"),
    headers: Object.entries(headers)
      .map(([header, value]) => `${header}: ${value}`)
      .join("\n"),
    timeout_ms: timeout_ms === null ? "" : String(timeout_ms),
    max_in_flight: max_in_flight === null ? "" : String(max_in_flight),
    ordered: String(ordered),
    retry_schedule_s: listOf(retry_schedule_s),
    retry_on: listOf(retry_on),
  };
}

/** The members that the form does not have stay as they are. @throws ApiError naming the field */
export function recordOf(record: App, form: AppForm): object {
  return {
    ...record,
    name: form.name.trim(),
    webhook_url: form.webhook_url.trim(),
    status: form.status,
    events: linesOf(form.events),
    headers: Object.fromEntries(linesOf(form.headers).map(headerOf)),
    timeout_ms: numberOf("Deadline", form.timeout_ms),
    max_in_flight: numberOf("Concurrent attempts", form.max_in_flight),
    ordered: form.ordered === "true",
    order_by: form.ordered !== "true" ? "none" : record.ordered ? record.order_by : "app",
    retry_schedule_s: scheduleOf(form.retry_schedule_s),
    retry_on: partsOf(form.retry_on),
  };
}

/** The patch of an app's token of scope manage. A header that is gone is removed. @throws ApiError naming the field */
export function ownPatchOf(record: App, form: Pick<AppForm, "webhook_url" | "events" | "headers">): object {
  const headers = Object.fromEntries(linesOf(form.headers).map(headerOf));
  const removed = Object.keys(record.headers).filter((name) => !(name in headers));
  return {
    webhook_url: form.webhook_url.trim(),
    events: linesOf(form.events),
    headers: { ...headers, ...Object.fromEntries(removed.map((name) => [name, null])) },
  };
}

export function linesOf(text: string): string[] {
  return text
    .split("\n")
    .map((line) => line.trim())
    .filter(Boolean);
}

function headerOf(line: string): [string, string] {
  const colon = line.indexOf(":");
  if (colon < 1) throw new ApiError(0, `Headers: found “${line}”, wanted Name: value`);
  return [line.slice(0, colon).trim(), line.slice(colon + 1).trim()];
}

function numberOf(field: string, text: string): number | null {
  if (text.trim() === "") return null;
  const value = Number(text);
  if (!Number.isFinite(value)) throw new ApiError(0, `${field}: found “${text}”, wanted a number or nothing for the default`);
  return value;
}

function scheduleOf(text: string): number[] | null {
  return partsOf(text)?.map((part) => numberOf("Retries after", part === "" ? "?" : part) ?? 0) ?? null;
}

function partsOf(text: string): string[] | null {
  if (text.trim() === "") return null;
  return text.trim() === "none" ? [] : text.split(",").map((part) => part.trim());
}

function listOf(values: ReadonlyArray<string | number> | null): string {
  return values === null ? "" : values.length === 0 ? "none" : values.join(", ");
}
