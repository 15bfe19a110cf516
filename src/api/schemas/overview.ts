/** Answers that the dashboard shows: the overview, and the installations of an app. */
import { z } from "zod";
import { keyStop } from "../../explain/answer-schemas.ts";
import { CIRCUIT_STATES } from "../../model/circuit-state.ts";
import { appStatus } from "../../registry/records.ts";
import { AT, brokenReason, brokenReasonExample, count, installationStatus, next, time, UUID } from "./common.ts";

const HOUR = "2026-01-04T11:00:00.000Z";

const appHealth = z
  .strictObject({
    state: z.enum(["healthy", "failing"]).meta({
      description:
        "failing: half or more of at least 20 attempts within 15 minutes were not delivered, and since then never less than a quarter.",
    }),
    since: time.nullable().meta({ description: "When it began to fail; null while it is healthy." }),
    attempts: count.nullable(),
    failures: count.nullable().meta({ description: "Attempts that were not delivered, whatever the answer." }),
    by_code: z.record(z.string(), count).nullable().meta({ description: "Response code → failures; `0`: no response." }),
    blocked: count
      .nullable()
      .meta({ description: "Attempts that the address guard blocked, which count neither as attempts nor as failures." }),
    sender_failed: count
      .nullable()
      .meta({ description: "Attempts that failed on Posthorn's side, which count neither as attempts nor as failures." }),
    last_success_at: time.nullable().meta({ description: "Also null when there was none within 31 days." }),
  })
  .meta({
    id: "AppHealth",
    description: "The app's attempts of the last 15 minutes. Those that failed for a reason on Posthorn's side are counted apart.",
  });

const appAtAGlance = z
  .strictObject({
    slug: z.string(),
    name: z.string(),
    status: appStatus,
    webhook_url: z.string(),
    installations: z.strictObject({ active: count, broken: count, disabled: count }),
    circuit: z.strictObject({
      state: z.enum(CIRCUIT_STATES),
      open_until: time.nullable().meta({ description: "When the next attempt is due; null while it is closed." }),
    }),
    throttled: z.strictObject({ until: time, response_code: count }).nullable().meta({
      description:
        "The app's receiver has asked for a pause: nothing of the app is attempted before `until`. response_code: of its answer, 429 or 503. Null when the app is not throttled.",
    }),
    stopped: z
      .strictObject({ keys: count.meta({ description: "Stopped keys." }), oldest: keyStop })
      .nullable()
      .meta({
        description:
          "Deliveries of an ordered app wait behind a dead letter of their order key (`on_exhausted: stop`): until it is replayed, resent or deleted, or `on_exhausted` is `continue`. Null when no key is stopped, or when it is `unknown`.",
      }),
    waiting: z
      .strictObject({
        since: time.meta({ description: "When the oldest of them was parked first." }),
        because: z.enum(["rate_limit", "pace", "ordered", "max_in_flight"]),
        per_s: z.number().nullable().meta({ description: "Attempts a second that the rate limit allows, or that the receiver takes." }),
        at_once: count.nullable().meta({ description: "Attempts at once that the receiver takes, or that max_in_flight allows." }),
      })
      .nullable()
      .meta({
        description:
          "Deliveries in the app's own queue have waited for more than 10 s although they may be attempted: for its `rate_limit`, for the pace that its receiver takes, for earlier ones of its order, or for a slot of its `max_in_flight`. Null when none has, or when it is `unknown`.",
      }),
    unknown: z.array(z.enum(["stopped", "waiting"])).meta({
      description: "Members that are null because they can't be read now; otherwise null means that no key is stopped, or nothing waits.",
    }),
    health: appHealth,
    parked: count.nullable().meta({
      description:
        "All parked deliveries: in the app's own queue and in those of its installations. A dead letter that stops an order key is none of them.",
    }),
    parked_in_app_queue: count.nullable().meta({
      description:
        "The parked deliveries in the app's own queue, for any installation. The others wait for an installation that is broken or disabled.",
    }),
    dead_letters: count.nullable(),
    attempts: z.array(count).nullable().meta({ description: "Attempts in each of the last 24 hours, the current one included." }),
    delivered: z.array(count).nullable().meta({ description: "Attempts that delivered, in the same hours." }),
  })
  .meta({ id: "AppAtAGlance", description: "An app's installations, circuit, waiting deliveries and last day." });

const hours = (last: number): number[] => [...new Array<number>(23).fill(0), last];
const glanceExample = {
  slug: "acme-tracker",
  name: "Acme Tracker",
  status: "published",
  webhook_url: "https://hooks.acme.example/sentry",
  installations: { active: 11, broken: 1, disabled: 0 },
  circuit: { state: "closed", open_until: null },
  throttled: null,
  stopped: null,
  waiting: null,
  unknown: [],
  health: {
    state: "healthy",
    since: null,
    attempts: 21,
    failures: 1,
    by_code: { "503": 1 },
    blocked: 0,
    sender_failed: 0,
    last_success_at: AT,
  },
  parked: 3,
  parked_in_app_queue: 0,
  dead_letters: 0,
  attempts: hours(120),
  delivered: hours(118),
};

export const overview = z
  .strictObject({
    items: z.array(appAtAGlance).meta({ description: "Sorted by slug." }),
    at: time,
    hours_from: time.meta({ description: "Start of the first of the 24 hours." }),
    problems: z
      .array(
        z
          .strictObject({ code: z.string(), detail: z.string(), missing: z.array(z.string()) })
          .meta({ id: "OverviewProblem", description: "A source that could not be read." }),
      )
      .meta({ description: "Sources that could not be read, and the members that are null because of it." }),
    unreadable: count.nullable().optional().meta({ description: "Dead letters that belong to no app. Absent in the overview of one app." }),
  })
  .meta({
    id: "Overview",
    description: "Apps at a glance.",
    example: { items: [glanceExample], at: AT, hours_from: HOUR, problems: [], unreadable: 0 },
  });

export const liveOverview = z.string().meta({
  description:
    "`overview` events: first an Overview of all apps, then one of the apps that have changed, with the slugs of removed apps in " +
    "`removed`. `status` events: one status event each. An Overview without `removed` has all apps. It comes again when Posthorn was " +
    "disconnected from NATS: `status` events before it may be missing, those after it are complete.",
  example: `event: overview\ndata: {"items":[],"at":"${AT}","hours_from":"${HOUR}","problems":[],"removed":["acme-tracker"]}\n\n`,
});

export const installationsOfApp = z
  .strictObject({
    items: z.array(
      z
        .strictObject({
          uuid: z.string().meta({ format: "uuid" }),
          app: z.string(),
          organization_id: z.string(),
          project_ids: z.array(z.string()).meta({ description: "Empty: all projects." }),
          status: installationStatus,
          webhook_url: z.string().nullable().meta({ description: "Null: the app's." }),
          created_at: time.nullable(),
          updated_at: time.nullable(),
          parked: count.nullable().meta({
            description:
              "Deliveries in the installation's own queue, which wait because it is broken or disabled. Deliveries that wait for the app, for example for its circuit, count in parked_in_app_queue of the overview. Null: NATS is unreachable.",
          }),
          broken: z
            .strictObject({
              at: time,
              reason: brokenReason.nullable(),
            })
            .nullable()
            .meta({ description: "Null when it is not broken." }),
        })
        .meta({ id: "AppInstallation", description: "An installation with its backlog and why it is broken." }),
    ),
    next,
  })
  .meta({
    id: "InstallationsOfApp",
    description: "A page of an app's installations.",
    example: {
      items: [
        {
          ...{ uuid: UUID, app: "acme-tracker", organization_id: "42", project_ids: [], status: "broken", webhook_url: null, parked: 3 },
          ...{ created_at: AT, updated_at: AT },
          broken: {
            at: AT,
            reason: brokenReasonExample,
          },
        },
      ],
      next: null,
    },
  });
