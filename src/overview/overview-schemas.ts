/** The forms of what the dashboard is fed with, each with an example, as in schemas.ts. */

import { z } from "zod";
import { INSTALLATION_STATUSES } from "../model/app.ts";
import { CIRCUIT_STATES } from "../model/circuit-state.ts";

const time = z.string().meta({ format: "date-time" });
const count = z.int().min(0);
const UUID = "0f3c1d2e-5b6a-4c7d-8e9f-0a1b2c3d4e5f";
const AT = "2026-01-05T10:11:12.345Z";
const HOUR = "2026-01-04T11:00:00.000Z";

const appAtAGlance = z.strictObject({
  slug: z.string(),
  name: z.string(),
  status: z.enum(["internal", "unpublished", "published"]),
  webhook_url: z.string(),
  installations: z.strictObject({ active: count, broken: count, disabled: count }),
  circuit: z.strictObject({
    state: z.enum(CIRCUIT_STATES),
    open_until: time.nullable().meta({ description: "When the next attempt is due; null when it is closed." }),
  }),
  parked: count.nullable().meta({ description: "All that is parked: in the app's own queue and in those of its installations." }),
  parked_in_app_queue: count.nullable().meta({
    description:
      "Of these, deliveries in the app's own queue, for whichever of its installations. The others wait for one that is broken or disabled.",
  }),
  dead_letters: count.nullable(),
  attempts: z.array(count).nullable().meta({ description: "Of each of the last 24 hours, the one that is going on included." }),
  delivered: z.array(count).nullable().meta({ description: "How many of them delivered." }),
});

const hours = (last: number): number[] => [...new Array<number>(23).fill(0), last];
const glanceExample = {
  slug: "acme-tracker",
  name: "Acme Tracker",
  status: "published",
  webhook_url: "https://hooks.acme.example/sentry",
  installations: { active: 11, broken: 1, disabled: 0 },
  circuit: { state: "closed", open_until: null },
  parked: 3,
  parked_in_app_queue: 0,
  dead_letters: 0,
  attempts: hours(120),
  delivered: hours(118),
};

export const overview = z
  .strictObject({
    items: z.array(appAtAGlance).meta({ description: "By slug." }),
    at: time,
    hours_from: time.meta({ description: "The beginning of the first of the 24 hours." }),
    problems: z
      .array(z.strictObject({ code: z.string(), detail: z.string(), missing: z.array(z.string()) }))
      .meta({ description: "What could not be read, and the members that are null because of it." }),
    unreadable: count.nullable().optional().meta({ description: "Dead letters that belong to no app; not of a single app." }),
  })
  .meta({ id: "Overview", example: { items: [glanceExample], at: AT, hours_from: HOUR, problems: [], unreadable: 0 } });

export const liveOverview = z.string().meta({
  description:
    "`overview` events: an Overview of all, then one of the apps that have changed, with the slugs of those that are gone in " +
    "`removed`. `status` events: a status event each.",
  example: `event: overview\ndata: {"items":[],"at":"${AT}","hours_from":"${HOUR}","problems":[],"removed":["acme-tracker"]}\n\n`,
});

const counters = { success: count, error: count, timeout: count, fatal: count };

export const installationsOfApp = z
  .strictObject({
    items: z.array(
      z.strictObject({
        uuid: z.string().meta({ format: "uuid" }),
        app: z.string(),
        organization_id: z.string(),
        project_ids: z.array(z.string()).meta({ description: "Empty: all projects." }),
        status: z.enum(INSTALLATION_STATUSES),
        webhook_url: z.string().nullable().meta({ description: "Null: the app's." }),
        created_at: time.nullable(),
        updated_at: time.nullable(),
        parked: count.nullable().meta({
          description:
            "Deliveries in the installation's own queue, which wait because it is broken or disabled. What waits for the app, such as for its circuit, is in parked_in_app_queue of the overview. Null: NATS is away.",
        }),
        broken: z
          .strictObject({
            at: time,
            reason: z
              .strictObject({
                rule: z.string(),
                window_days: z.int(),
                days: z.array(z.string()),
                ...counters,
                last_response_code: z.int().nullable(),
                last_error: z.string().nullable(),
              })
              .nullable(),
          })
          .nullable()
          .meta({ description: "Null when it is not broken." }),
      }),
    ),
    next: z.string().nullable().meta({ description: "Null: that was the last page." }),
  })
  .meta({
    id: "InstallationsOfApp",
    example: {
      items: [
        {
          ...{ uuid: UUID, app: "acme-tracker", organization_id: "42", project_ids: [], status: "broken", webhook_url: null, parked: 3 },
          ...{ created_at: AT, updated_at: AT },
          broken: {
            at: AT,
            reason: {
              ...{ rule: "fatal", window_days: 7, days: ["2026-01-05"], success: 12, error: 0, timeout: 0, fatal: 1 },
              ...{ last_response_code: 410, last_error: "answered with status 410" },
            },
          },
        },
      ],
      next: null,
    },
  });

const milliseconds = z.number().nullable();
const sums = {
  attempts: count,
  success_rate: z.number().nullable().meta({ description: "Of attempts: a delivery that needed two counts twice. Null without any." }),
  outcomes: z.strictObject({
    ...{ delivered: count, gone: count, failed: count, rejected: count, timed_out: count, unreachable: count, blocked: count },
  }),
  latency_ms: z
    .strictObject({ count, p50: milliseconds, p95: milliseconds, p99: milliseconds })
    .meta({ description: "Of the attempts that the receiver answered or let time out, right within a factor of √2." }),
};
const sumsExample = {
  attempts: 120,
  success_rate: 0.9833,
  outcomes: { delivered: 118, gone: 0, failed: 1, rejected: 0, timed_out: 1, unreachable: 0, blocked: 0 },
  latency_ms: { count: 120, p50: 42, p95: 181, p99: 740 },
};

export const appStats = z
  .strictObject({
    app: z.string(),
    range: z.enum(["24h", "7d", "30d"]),
    start: time,
    end: time,
    step_s: z.int().meta({ description: "Length of a period: an hour, six hours, a day." }),
    totals: z.strictObject(sums),
    periods: z.array(z.strictObject({ start: time, ...sums })).meta({ description: "Oldest first; the last one is going on." }),
    event_types: z.array(z.string()).meta({ description: "Those with rows in the request log, the last attempted first." }),
  })
  .meta({
    id: "AppStats",
    example: {
      ...{ app: "acme-tracker", range: "24h", start: HOUR, end: "2026-01-05T11:00:00.000Z", step_s: 3600 },
      totals: sumsExample,
      periods: [{ start: HOUR, ...sumsExample }],
      event_types: ["issue.created"],
    },
  });

/** Loose: schemas/<type>.json has the form of each type's data. */
export const statusEventPage = z
  .strictObject({
    items: z.array(
      z.strictObject({
        sequence: z.int().min(1).meta({ description: "Its number in the stream." }),
        specversion: z.literal("1.0"),
        id: z.string(),
        source: z.string(),
        type: z.string(),
        time,
        subject: z.string(),
        datacontenttype: z.literal("application/json"),
        data: z.looseObject({ app: z.string() }),
      }),
    ),
    next: z.int().nullable().meta({ description: "Null: that was the last page." }),
  })
  .meta({
    id: "StatusEventPage",
    example: {
      items: [
        {
          ...{ sequence: 7, specversion: "1.0", id: "acme-tracker:1", source: "/posthorn/app-platform", type: "circuit.closed", time: AT },
          ...{ subject: "acme-tracker", datacontenttype: "application/json" },
          data: { app: "acme-tracker", previous_state: "half_open", state: "closed", reason: null, open_until: null, dashboard_url: null },
        },
      ],
      next: null,
    },
  });

export const session = z
  .strictObject({
    scope: z.enum(["admin", "read", "app"]).meta({ description: "What the caller's token covers; admin when there are no tokens." }),
    app: z.string().nullable().meta({ description: "The one app, for a token of an app." }),
    version: z.string(),
    trace_url: z.string().nullable().meta({ description: "POSTHORN_TRACE_URL, with `{trace_id}` in it." }),
  })
  .meta({ id: "Session", example: { scope: "admin", app: null, version: "1.2.3", trace_url: "https://jaeger.example/trace/{trace_id}" } });
