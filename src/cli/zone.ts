/** The time zone in which times are shown and read: the machine's, or UTC. */

import { epochMsOf } from "../model/rfc3339.ts";

export interface Zone {
  /** `2026-01-05 12:11:12` */
  wallClock(epochMs: number): string;
  /** `+02:00`; `Z` for UTC. */
  offset(epochMs: number): string;
  /** The instant at which clocks show a time, given as if it were one of UTC. Of a repeated hour, one of the two instants. */
  instantOf(wallClockMs: number): number;
}

const MINUTE_MS = 60_000;
const DAY_MS = 86_400_000;

/** @param name an IANA name; undefined: the machine's */
export function createZone(name: string | undefined): Zone {
  // Created when it is needed: it takes 10 ms and 5 MB, and the service imports this file.
  let format: Intl.DateTimeFormat | undefined;

  const offsetMs = (epochMs: number): number => {
    format ??= formatOf(name);
    const parts = Object.fromEntries(format.formatToParts(epochMs).map(({ type, value }) => [type, Number(value)]));
    const { year = 0, month = 1, day = 1, hour = 0, minute = 0, second = 0 } = parts;
    return Date.UTC(year, month - 1, day, hour, minute, second) - Math.floor(epochMs / 1000) * 1000;
  };

  return {
    wallClock: (epochMs) => new Date(epochMs + offsetMs(epochMs)).toISOString().slice(0, 19).replace("T", " "),
    offset(epochMs) {
      const minutes = Math.round(offsetMs(epochMs) / MINUTE_MS);
      if (minutes === 0) return "Z";
      const two = (number: number): string => String(Math.floor(number)).padStart(2, "0");
      return `${minutes < 0 ? "-" : "+"}${two(Math.abs(minutes) / 60)}:${two(Math.abs(minutes) % 60)}`;
    },
    instantOf(wallClockMs) {
      const first = wallClockMs - offsetMs(wallClockMs);
      return wallClockMs - offsetMs(first);
    },
  };
}

/** RFC 3339 → `2026-01-05 12:11:12+02:00`: RFC 3339 too, in the zone. */
export function timeIn(zone: Zone, rfc3339: string): string {
  const at = epochMsOf(rfc3339);
  return Number.isNaN(at) ? rfc3339 : zone.wallClock(at) + zone.offset(at);
}

export const UTC: Zone = createZone("UTC");

/** TZ may hold a form that only the C library reads; Node then has the machine's zone. */
function formatOf(timeZone: string | undefined): Intl.DateTimeFormat {
  const parts = { year: "numeric", month: "numeric", day: "numeric", hour: "numeric", minute: "numeric", second: "numeric" } as const;
  const options = { ...parts, hourCycle: "h23" } as const;
  try {
    return new Intl.DateTimeFormat("en-US", timeZone ? { ...options, timeZone } : options);
  } catch {
    return new Intl.DateTimeFormat("en-US", options);
  }
}

/** The last time at which clocks have shown `10:05`, today or yesterday. */
export function lastAt(zone: Zone, sinceMidnightMs: number, now: number): number {
  const nowOnClock = epochMsOf(`${zone.wallClock(now)}Z`);
  const midnight = nowOnClock - (nowOnClock % DAY_MS);
  const today = zone.instantOf(midnight + sinceMidnightMs);
  return today <= now ? today : zone.instantOf(midnight - DAY_MS + sinceMidnightMs);
}
