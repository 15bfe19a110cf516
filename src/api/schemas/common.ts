/** Parts that the schemas of several resources share. */
import { z } from "zod";
import { INSTALLATION_STATUSES } from "../../model/app.ts";
import { OUTCOMES } from "../../model/outcome.ts";

export const time = z.string().meta({ format: "date-time" });
export const count = z.int().min(0);
export const outcome = z.enum(OUTCOMES).meta({ id: "Outcome", description: "How an attempt ended." });
export const responseCode = z.int().meta({ description: "0: no response." });
export const installationStatus = z
  .enum(INSTALLATION_STATUSES)
  .meta({ id: "InstallationStatus", description: "Whether an installation gets deliveries." });
/** Counters of the attempts of a UTC day. */
export const counters = { success: count, error: count, timeout: count, fatal: count };

export const UUID = "0f3c1d2e-5b6a-4c7d-8e9f-0a1b2c3d4e5f";
export const DELIVERY_ID = "dlv_5f2b6c0a9e134d7788aa10c3d4e5f607";
export const TRACE_ID = "0af7651916cd43dd8448eb211c80319c";
export const AT = "2026-01-05T10:11:12.345Z";

/** Why an integration is broken. */
export const brokenReason = z
  .strictObject({
    rule: z.string(),
    window_days: z.int(),
    days: z.array(z.string()).meta({ description: "UTC days, oldest first." }),
    ...counters,
    last_response_code: z.int().nullable(),
    last_error: z.string().nullable(),
  })
  .meta({ id: "BrokenReason", description: "Which rule found the integration broken, and by what." });
export const brokenReasonExample = {
  ...{ rule: "fatal", window_days: 7, days: ["2026-01-05"], success: 12, error: 0, timeout: 0, fatal: 1 },
  ...{ last_response_code: 410, last_error: "answered with status 410" },
};

/** Members of every registry record in an answer. */
export const recordMembers = {
  created_at: time.nullable().meta({ description: "Null: the record is of an early version, which did not keep it." }),
  updated_at: time.nullable(),
  invalid: z.string().optional().meta({
    description: "Why the newest value in the bucket can't be read; this is the last valid one, which is in force. Usually absent.",
  }),
};
export const recordTimes = { created_at: AT, updated_at: AT };

export const next = z.string().nullable().meta({ description: "The `cursor` of the following page. Null: this is the last page." });

/** A page of a list. */
export function pageOf<S extends z.ZodType>(items: S, id: string, cursor: string) {
  return z
    .strictObject({ items: z.array(items), next })
    .meta({ id, description: "A page of a list.", example: { items: [items.meta()?.["example"]], next: cursor } });
}

/** A page of a list whose source forgets old items. @param why what is missing before that time */
export function boundedPageOf<S extends z.ZodType>(items: S, id: string, next: string, why: string) {
  const page = pageOf(items, id, next);
  return page.extend({ reaches_back_to: time.nullable().meta({ description: `${why} Null: nothing has been forgotten.` }) }).meta({
    id,
    description: "A page of a list, and how far it reaches back.",
    example: { ...(page.meta()?.["example"] as object), reaches_back_to: null },
  });
}
