/** Numbers and times formatted for people. Times are in the zone of zone.ts. */
import type { Shown } from "../client/app-state.ts";
import { epochMsOf } from "../model/rfc3339.ts";
import { inZone, offsetAt } from "./zone.ts";

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const compact = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });

export function count(value: number): string {
  return whole.format(value);
}

/** 12,345 → 12.3K. */
export function shortCount(value: number): string {
  return value < 10_000 ? whole.format(value) : compact.format(value);
}

/** `3 deliveries`, `1 delivery`. */
export function counted(value: number, one: string, many = `${one}s`): string {
  return `${count(value)} ${value === 1 ? one : many}`;
}

/** 100 % only if nothing failed, 0 % only if nothing succeeded. */
export function percent(share: number): string {
  const rounded = share > 0.9 ? Math.floor(share * 1000) / 10 : Math.ceil(share * 1000) / 10;
  return `${rounded === 100 || rounded === 0 ? rounded.toFixed(0) : rounded.toFixed(1)}%`;
}

export function duration(ms: number): string {
  if (ms < 10) return `${Math.round(ms * 10) / 10} ms`;
  if (ms < 1_000) return `${Math.round(ms)} ms`;
  if (ms < 120_000) return `${Number((ms / 1_000).toFixed(ms < 9_950 ? 1 : 0))} s`;
  return `${Math.round(ms / 60_000)} min`;
}

/** In the largest fitting unit: `4 min ago`. */
export function ago(at: number, now: number): string {
  const seconds = Math.round((now - at) / 1_000);
  if (seconds < 5) return "just now";
  if (seconds < 60) return `${seconds} s ago`;
  if (seconds < 3_570) return `${Math.round(seconds / 60)} min ago`;
  if (seconds < 48 * 3_600) return `${Math.round(seconds / 3_600)} h ago`;
  return `${Math.round(seconds / 86_400)} days ago`;
}

const hourAndMinute = { hour: "2-digit", minute: "2-digit" } as const;
const timeOfDay = inZone({ ...hourAndMinute, second: "2-digit" });
const dayAndTime = inZone({ day: "numeric", month: "short", ...hourAndMinute, second: "2-digit" });

export const hour = inZone(hourAndMinute);
export const date = inZone({ day: "numeric", month: "short" });
export const dateAndHour = inZone({ weekday: "short", day: "numeric", month: "short", ...hourAndMinute });
export const day = inZone({ weekday: "long", day: "numeric", month: "long" });
export const exactTime = inZone({ dateStyle: "full", timeStyle: "long" });

/** The time of day; with the date if it is not today. */
export function time(at: number, now: number): string {
  return day(at) === day(now) ? timeOfDay(at) : dayAndTime(at);
}

/** As `time`, with the zone. */
export function timeWithZone(at: number, now: number): string {
  return `${time(at, now)} ${offsetAt(at)}`;
}

/** As `timeWithZone`, to the minute. */
export function minute(at: number, now: number): string {
  return `${time(at, now).replace(/:\d\d$/, "")} ${offsetAt(at)}`;
}

/** Shows times of the API. */
export function shownAt(now: number): Shown {
  return { now, time: (at) => timeWithZone(epochMsOf(at), now), minute: (at) => minute(epochMsOf(at), now) };
}
