/**
 * Reads times that come from outside (RFC 3339, section 5.6). `Date.parse` accepts far more: it reads a time without a zone in the
 * server's zone, and 30 February as 2 March.
 */

/** `problem` follows "found <the text>, ". */
export type ReadTime = { readonly ok: true; readonly epochMs: number } | { readonly ok: false; readonly problem: string };

const DATE_TIME = /^(\d{4}-\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(?:\.(\d+))?(?:[Zz]|([+-])(\d\d):(\d\d))$/;
const WITHOUT_ZONE = /^\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d(:\d\d(\.\d+)?)?$/;
const DATE = /^\d{4}-\d\d-\d\d$/;

const SECOND_MS = 1_000;
const MINUTE_MS = 60_000;
const HOUR_MS = 3_600_000;
const DAY_MS = 86_400_000;
const FIRST_MS = Date.parse("0000-01-01T00:00:00.000Z");
const LAST_MS = Date.parse("9999-12-31T23:59:59.999Z");

/**
 * Fractions of a millisecond are cut off. A leap second (23:59:60 UTC) is the same instant as the second after it, as on
 * POSIX clocks.
 */
export function parseRfc3339(text: string): ReadTime {
  const written = writtenMs(text);
  if (!Number.isNaN(written)) return { ok: true, epochMs: written };
  const match = DATE_TIME.exec(text);
  if (match === null && WITHOUT_ZONE.test(text))
    return refused("without a time zone, wanted an RFC 3339 time with Z or an offset such as +01:00");
  if (match === null) return refused("wanted an RFC 3339 time");
  const [, month = "", day, hour, minute, second, fraction = "", sign, offsetHours = 0, offsetMinutes = 0] = match;
  const midnightMs = Date.parse(`${month}-01T00:00:00.000Z`) + (Number(day) - 1) * DAY_MS;
  if (Number.isNaN(midnightMs) || new Date(midnightMs).getUTCDate() !== Number(day))
    return refused("not a day of the calendar, wanted an RFC 3339 time");
  if (Number(hour) > 23 || Number(minute) > 59 || Number(second) > 60)
    return refused("wanted an RFC 3339 time of day from 00:00:00 to 23:59:59");
  if (Number(offsetHours) > 23 || Number(offsetMinutes) > 59) return refused("wanted an RFC 3339 offset from -23:59 to +23:59");
  const offsetMs = (Number(offsetHours) * HOUR_MS + Number(offsetMinutes) * MINUTE_MS) * (sign === "-" ? -1 : 1);
  const wholeMs = midnightMs + Number(hour) * HOUR_MS + Number(minute) * MINUTE_MS + Number(second) * SECOND_MS - offsetMs;
  const isLeapSecond = Number(second) === 60;
  if (isLeapSecond && wholeMs % DAY_MS !== 0) return refused("wanted an RFC 3339 time, leap seconds at 23:59:60 UTC only");
  const epochMs = isLeapSecond ? wholeMs : wholeMs + Number(fraction.slice(0, 3).padEnd(3, "0"));
  if (epochMs < FIRST_MS || epochMs > LAST_MS) return refused("wanted an RFC 3339 time of the years 0000 to 9999 UTC");
  return { ok: true, epochMs };
}

/** Reads a time that Posthorn or a server wrote; NaN when it is not an RFC 3339 time. */
export function epochMsOf(text: string): number {
  const read = parseRfc3339(text);
  return read.ok ? read.epochMs : Number.NaN;
}

const WRITTEN_TIMES = /\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z/g;

/** A text that Posthorn wrote, with each of its times as `show` gives it. */
export function replaceTimes(text: string, show: (rfc3339: string) => string): string {
  return text.replace(WRITTEN_TIMES, show);
}

/** Also takes a date alone, which is its midnight UTC. */
export function parseRfc3339OrDate(text: string): ReadTime {
  return parseRfc3339(DATE.test(text) ? `${text}T00:00:00Z` : text);
}

const WRITTEN = "YYYY-MM-DDThh:mm:ss.mmmZ";
/** Date.UTC takes years below 100 for those of the twentieth century. */
const FIRST_YEAR = 100;

/** Reads the form that Posthorn itself writes (model/clock.ts), in a tenth of the time; NaN for any other text. */
function writtenMs(text: string): number {
  if (text.length !== WRITTEN.length || !hasSeparators(text)) return Number.NaN;
  const [year, month, day] = [numberIn(text, 0, 4), numberIn(text, 5, 7), numberIn(text, 8, 10)];
  const [hour, minute, second] = [numberIn(text, 11, 13), numberIn(text, 14, 16), numberIn(text, 17, 19)];
  const isTime = hour <= 23 && minute <= 59 && second <= 59;
  const isDate = year >= FIRST_YEAR && month >= 1 && month <= 12 && day >= 1 && day <= daysOf(year, month);
  return isDate && isTime ? Date.UTC(year, month - 1, day, hour, minute, second, numberIn(text, 20, 23)) : Number.NaN;
}

function hasSeparators(text: string): boolean {
  const isDate = text[4] === "-" && text[7] === "-" && text[10] === "T";
  return isDate && text[13] === ":" && text[16] === ":" && text[19] === "." && text[23] === "Z";
}

/** @returns NaN unless all of them are digits */
function numberIn(text: string, from: number, to: number): number {
  let number = 0;
  for (let at = from; at < to; at++) {
    const digit = text.charCodeAt(at) - 48;
    if (digit < 0 || digit > 9) return Number.NaN;
    number = number * 10 + digit;
  }
  return number;
}

function daysOf(year: number, month: number): number {
  if (month === 2) return year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0) ? 29 : 28;
  return month === 4 || month === 6 || month === 9 || month === 11 ? 30 : 31;
}

function refused(problem: string): ReadTime {
  return { ok: false, problem };
}
