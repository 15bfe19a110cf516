/** Query parameters that several routes share. */
import { z } from "zod";
import { EVENT_TOKEN } from "../../model/event.ts";
import { OUTCOMES } from "../../model/outcome.ts";
import { parseRfc3339OrDate } from "../../model/rfc3339.ts";

/** Descriptions of parameters that mean the same in every call. */
export const PARAMETERS: Readonly<Record<string, string>> = {
  slug: "The app's slug.",
  uuid: "The installation's UUID.",
  id: "Its id.",
  sequence: "The dead letter's sequence.",
  app: "Only of this app.",
  installation_uuid: "Only of this installation.",
  organization_id: "Only of this organization.",
  event_type: "Only of this event type.",
  type: "Only of this event type.",
  event_id: "Only of the events with this id.",
  delivery_id: "Only of this delivery.",
  outcome: "Only attempts with this outcome.",
  status: "Only with this status.",
  errors_only: "Only attempts that did not deliver.",
  state: "Only in this state.",
  response_code: "Only with this response code.",
  limit: "Most items on a page.",
};

const token = EVENT_TOKEN.source.slice(1, -1);
export const EVENT_TYPE = new RegExp(`^${token}\\.${token}$`);

/** A date of the calendar, and a time with a zone, as every RFC 3339 parser accepts them. */
const DAY =
  "(?:\\d{4}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12]\\d|3[01])|(?:0[469]|11)-(?:0[1-9]|[12]\\d|30)|02-(?:0[1-9]|1\\d|2[0-8]))" +
  "|(?:\\d\\d(?:0[48]|[2468][048]|[13579][26])|(?:[02468][048]|[13579][26])00)-02-29)";
const TIME_OF_DAY = "T(?:[01]\\d|2[0-3]):[0-5]\\d:[0-5]\\d(?:\\.\\d{1,9})?(?:Z|[+-](?:[01]\\d|2[0-3]):[0-5]\\d)";
const DATE_TIME = { format: "date-time", pattern: `^${DAY}${TIME_OF_DAY}$` };

/** A time in a body that model/event-reader.ts reads. */
export const inputTime = z.string().meta(DATE_TIME);

/** RFC 3339, or a date (midnight UTC), which the document leaves out → milliseconds since the epoch. */
export const time = z
  .string()
  .transform((text, context) => {
    // An unencoded plus sign in a query string arrives as a space.
    const read = parseRfc3339OrDate(text.replace(/(?<=:\d\d(?:\.\d+)?) (?=\d\d:\d\d$)/, "+"));
    if (read.ok) return read.epochMs;
    context.addIssue({ code: "custom", message: read.problem.replace(/time$/, "time such as 2026-01-05T10:11:12Z") });
    return z.NEVER;
  })
  .meta({ example: "2026-01-05T10:11:12Z", ...DATE_TIME });
export const flag = z
  .enum(["true", "false", "1", "0"])
  .transform((text) => text === "true" || text === "1")
  .meta({ example: "true" });

export const eventType = z.string().regex(EVENT_TYPE, "wanted <resource>.<action> of a-z, 0-9 and _").meta({ example: "issue.created" });

const LARGEST = 999_999_999_999_999;

/** A whole number in digits; Number() would also accept 1e2, 0x10 and spaces. */
export function wholeNumber(least: number, most = LARGEST): z.ZodType<number> {
  const range = most === LARGEST ? `${least} or more` : `${least} to ${most}`;
  return z
    .unknown()
    .transform((text, { addIssue }) => {
      const number = /^\d{1,15}$/.test(String(text)) ? Number(text) : Number.NaN;
      if (!(number >= least && number <= most)) addIssue({ code: "custom", input: text, message: `wanted a whole number, ${range}` });
      return number;
    })
    .meta({ type: "integer", minimum: least, maximum: most });
}

/** An object with a time span: `start` ≤ t < `end`. */
export function inOrder<S extends z.ZodType<{ start?: number | null | undefined; end?: number | null | undefined }>>(schema: S): S {
  return schema.refine(({ start, end }) => start == null || end == null || start <= end, {
    path: ["start"],
    message: "later than end, wanted start ≤ end",
  });
}

export const deliveryId = z
  .string()
  .regex(/^dlv_[0-9a-f]{32}$/, "wanted dlv_ and 32 hex digits")
  .meta({ example: "dlv_0123456789abcdef0123456789abcdef" });

export const outcome = z.enum(OUTCOMES).meta({ example: "failed" });

export const responseCode = wholeNumber(0, 999).meta({ example: 503, description: "0: no response." });

export const deadLetterSequence = wholeNumber(1).meta({ example: 7 });
