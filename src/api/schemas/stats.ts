/** An app's attempts over time. */
import { z } from "zod";
import { count, time } from "./common.ts";

const HOUR = "2026-01-04T11:00:00.000Z";

const milliseconds = z.number().nullable();
const sums = {
  attempts: count,
  success_rate: z
    .number()
    .nullable()
    .meta({ description: "Share of attempts, not deliveries: a delivery that needed two attempts counts twice. Null without attempts." }),
  outcomes: z
    .strictObject({
      ...{ delivered: count, gone: count, failed: count, rejected: count, timed_out: count, unreachable: count },
      ...{ sender_failed: count.meta({ description: "Posthorn could not send them." }), blocked: count },
    })
    .meta({ id: "OutcomeCounts", description: "Attempts by outcome." }),
  latency_ms: z
    .strictObject({ count, p50: milliseconds, p95: milliseconds, p99: milliseconds })
    .meta({ id: "Latency", description: "Milliseconds of attempts that were answered or timed out, accurate within a factor of √2." }),
};
const sumsExample = {
  attempts: 120,
  success_rate: 0.9833,
  outcomes: { delivered: 118, gone: 0, failed: 1, rejected: 0, timed_out: 1, unreachable: 0, sender_failed: 0, blocked: 0 },
  latency_ms: { count: 120, p50: 42, p95: 181, p99: 740 },
};

export const statsRange = z.enum(["1h", "6h", "24h", "7d", "30d"]);

export const appStats = z
  .strictObject({
    app: z.string(),
    range: statsRange,
    start: time,
    end: time,
    step_s: z.int().meta({ description: "Length of a period: a minute, an hour, six hours, a day." }),
    totals: z.strictObject(sums).meta({ id: "StatsTotals", description: "Sums of all periods." }),
    periods: z
      .array(z.strictObject({ start: time, ...sums }).meta({ id: "StatsPeriod", description: "Sums of one period." }))
      .meta({ description: "Oldest first; the last one is the current period." }),
    event_types: z.array(z.string()).meta({ description: "Event types in the request log, the most recently attempted first." }),
  })
  .meta({
    id: "AppStats",
    description: "An app's attempts over time, by outcome and latency.",
    example: {
      ...{ app: "acme-tracker", range: "24h", start: HOUR, end: "2026-01-05T11:00:00.000Z", step_s: 3600 },
      totals: sumsExample,
      periods: [{ start: HOUR, ...sumsExample }],
      event_types: ["issue.created"],
    },
  });
