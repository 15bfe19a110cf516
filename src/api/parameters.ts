/** Query parameters that several routes share. */
import { z } from "zod";
import { EVENT_TOKEN } from "../model/event.ts";
import { parseRfc3339OrDate } from "../model/rfc3339.ts";

/** RFC 3339, or a date for its midnight UTC → milliseconds since the epoch. */
export const time = z
  .string()
  .transform((text, context) => {
    // A plus sign in a query string arrives as a space unless it was encoded.
    const read = parseRfc3339OrDate(text.replace(/(?<=:\d\d(?:\.\d+)?) (?=\d\d:\d\d$)/, "+"));
    if (read.ok) return read.epochMs;
    context.addIssue({ code: "custom", message: read.problem.replace(/time$/, "time such as 2026-01-05T10:11:12Z") });
    return z.NEVER;
  })
  .meta({ example: "2026-01-05T10:11:12Z" });

export const flag = z
  .enum(["true", "false", "1", "0"])
  .transform((text) => text === "true" || text === "1")
  .meta({ example: "true" });

export const eventType = z
  .string()
  .refine((text) => isEventType(text), "wanted <resource>.<action> of a-z, 0-9 and _")
  .meta({ example: "issue.created" });

export function isEventType(text: string): boolean {
  const tokens = text.split(".");
  return tokens.length === 2 && tokens.every((token) => EVENT_TOKEN.test(token));
}

export function limit(byDefault: number, most: number): z.ZodType<number> {
  return z.coerce.number().int().min(1).max(most).default(Math.min(byDefault, most));
}

export const deliveryId = z
  .string()
  .regex(/^dlv_[0-9a-f]{32}$/, "wanted dlv_ and 32 hex digits")
  .meta({ example: "dlv_0123456789abcdef0123456789abcdef" });
