/** Numbers and times formatted for people. */

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

const timeOfDay = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const dayAndTime = new Intl.DateTimeFormat("en-GB", {
  day: "numeric",
  month: "short",
  hour: "2-digit",
  minute: "2-digit",
  second: "2-digit",
});
const dayOnly = new Intl.DateTimeFormat("en-GB", { weekday: "long", day: "numeric", month: "long" });
const exact = new Intl.DateTimeFormat("en-GB", { dateStyle: "full", timeStyle: "long" });

/** The time of day; with the date if it is not today. */
export function time(at: number, now: number): string {
  return new Date(at).toDateString() === new Date(now).toDateString() ? timeOfDay.format(at) : dayAndTime.format(at);
}

/** As `time`, to the minute. */
export function minute(at: number, now: number): string {
  return time(at, now).replace(/:\d\d$/, "");
}

export function day(at: number): string {
  return dayOnly.format(at);
}

export function exactTime(at: number): string {
  return exact.format(at);
}
