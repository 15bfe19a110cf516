/** The forms of the answers, each with an example: what /openapi.json and `posthorn/api` promise. */

import { z } from "zod";
import { INSTALLATION_STATUSES } from "../../model/app.ts";
import { OUTCOMES } from "../../model/outcome.ts";

const time = z.string().meta({ format: "date-time" });
const count = z.int().min(0);

const UUID = "0f3c1d2e-5b6a-4c7d-8e9f-0a1b2c3d4e5f";
const DELIVERY_ID = "dlv_5f2b6c0a9e134d7788aa10c3d4e5f607";
const TRACE_ID = "0af7651916cd43dd8448eb211c80319c";
const SECRET = "0123456789abcdef".repeat(4);
const SECRETS = { client_secret: SECRET, webhook_secret: `whsec_${Buffer.from(SECRET).toString("base64")}` };

/** What Posthorn says of a record. */
const recordMembers = {
  created_at: time.nullable().meta({ description: "Null: not known of a record of an early version." }),
  updated_at: time.nullable(),
  invalid: z.string().optional().meta({
    description: "Why the newest value in the bucket can't be read; this is the one before it, which is in force. Left out as a rule.",
  }),
};
const recordTimes = { created_at: "2026-01-05T10:11:12.345Z", updated_at: "2026-01-05T10:11:12.345Z" };

const appMembers = {
  slug: z.string(),
  name: z.string(),
  webhook_url: z.string().meta({ description: "Only an admin token sees user names and the values in the query." }),
  status: z.enum(["internal", "unpublished", "published"]),
  events: z.array(z.string()),
  headers: z.record(z.string(), z.string()).meta({ description: "Values are never shown: `[redacted]`." }),
  timeout_ms: z.int().nullable().meta({ description: "Null: POSTHORN_REQUEST_TIMEOUT." }),
  retry_schedule_s: z.array(z.number()).nullable().meta({ description: "Null: POSTHORN_RETRY_SCHEDULE." }),
  max_in_flight: z.int().nullable().meta({ description: "Null: POSTHORN_APP_MAX_IN_FLIGHT." }),
  ordered: z.boolean().meta({ description: "Whether order_by is anything but none." }),
  order_by: z.string().meta({ description: "none, app, installation, project, or a JSON Pointer into the event's data." }),
  on_exhausted: z.enum(["continue", "stop"]),
  ...recordMembers,
};
const appExample = {
  slug: "acme-tracker",
  name: "Acme Tracker",
  webhook_url: "https://hooks.acme.example/sentry",
  status: "published",
  events: ["issue", "comment.created", "metric_alert.*"],
  headers: { "X-Team": "[redacted]" },
  timeout_ms: 10_000,
  retry_schedule_s: [5, 30, 300],
  max_in_flight: 32,
  ordered: false,
  order_by: "none",
  on_exhausted: "continue",
  ...recordTimes,
};

const secretMembers = {
  client_secret: z.string().meta({ description: "64 hex characters." }),
  webhook_secret: z.string().meta({ description: "The same key as Standard Webhooks write it." }),
};

export const app = z.strictObject(appMembers).meta({ id: "App", example: appExample });

export const madeApp = z
  .strictObject({ ...appMembers, ...secretMembers })
  .meta({ id: "MadeApp", description: "The only answer with an app's secrets.", example: { ...appExample, ...SECRETS } });

export const appToken = z.strictObject({ app: z.string(), token: z.string(), expires_at: time }).meta({
  id: "AppToken",
  example: { app: "acme-tracker", token: "phapp_acme-tracker.1767611472.…", expires_at: "2026-01-05T11:11:12.345Z" },
});

export const rotatedSecret = z
  .strictObject({
    slug: z.string(),
    ...secretMembers,
    previous_valid_until: time.meta({ description: "Until then webhooks carry both signatures." }),
  })
  .meta({ id: "RotatedSecret", example: { slug: "acme-tracker", ...SECRETS, previous_valid_until: "2026-01-06T10:11:12.345Z" } });

export const installation = z
  .strictObject({
    uuid: z.string().meta({ format: "uuid" }),
    app: z.string(),
    organization_id: z.string(),
    project_ids: z.array(z.string()).meta({ description: "Empty: all projects." }),
    status: z.enum(INSTALLATION_STATUSES),
    webhook_url: z.string().nullable().meta({ description: "Null: the app's. Secrets in it as in an app's." }),
    ...recordMembers,
  })
  .meta({
    id: "Installation",
    example: {
      ...{ uuid: UUID, app: "acme-tracker", organization_id: "42", project_ids: ["7"], status: "active", webhook_url: null },
      ...recordTimes,
    },
  });

export const invalidRecords = z
  .strictObject({
    total: count,
    items: z.array(
      z.strictObject({
        key: z.string(),
        revision: count,
        problem: z.string(),
        earlier_in_force: z.boolean().meta({ description: "False: the record counts for nothing until it is written again." }),
      }),
    ),
  })
  .meta({
    id: "InvalidRecords",
    example: {
      total: 1,
      items: [{ key: "app.acme-tracker", revision: 17, problem: "not JSON in UTF-8", earlier_in_force: true }],
    },
  });

export const discarded = z
  .strictObject({
    discarded: count,
    in_flight: count.optional().meta({
      description: "Deliveries that were still being attempted after 15 s; they end as they end. Left out when there were none.",
    }),
  })
  .meta({ id: "Discarded", example: { discarded: 12 } });

export const storedEvent = z
  .strictObject({
    id: z.string(),
    type: z.string(),
    stream: z.string(),
    sequence: count,
    duplicate: z.boolean().meta({ description: "An event of this id was there already; this one was not stored." }),
  })
  .meta({
    id: "StoredEvent",
    example: { id: "evt-1", type: "issue.created", stream: "APP_PLATFORM_EVENTS", sequence: 1, duplicate: false },
  });

const outcome = z.enum(OUTCOMES);
const responseCode = z.int().meta({ description: "0: no response." });

export const webhookRequest = z
  .strictObject({
    date: time,
    event_type: z.string(),
    event_id: z.string(),
    delivery_id: z.string(),
    installation_uuid: z.string(),
    organization_id: z.string().optional().meta({ description: "Not for internal apps." }),
    webhook_url: z.string(),
    attempt: z.int().min(1),
    response_code: responseCode,
    outcome,
    duration_ms: z.number(),
    trace_id: z.string(),
    error_id: z.string().optional().meta({ description: "With project_id: from the response's <prefix>-Error and <prefix>-Project." }),
    project_id: z.string().optional(),
    request_headers: z
      .record(z.string(), z.string())
      .optional()
      .meta({ description: "This and what follows only if it was not delivered." }),
    request_body: z.string().optional().meta({ description: "Cut to 1024 bytes." }),
    response_body: z.string().nullish().meta({ description: "Cut to 1024 bytes; null: there was no response." }),
    error: z.string().nullish(),
  })
  .meta({
    id: "WebhookRequest",
    example: {
      date: "2026-01-05T10:11:12.345Z",
      event_type: "issue.created",
      event_id: "evt-1",
      delivery_id: DELIVERY_ID,
      installation_uuid: UUID,
      organization_id: "42",
      webhook_url: "https://hooks.acme.example/sentry",
      attempt: 1,
      response_code: 503,
      outcome: "failed",
      duration_ms: 55,
      trace_id: TRACE_ID,
      request_headers: { "Content-Type": "application/json", "webhook-id": DELIVERY_ID },
      request_body: '{"action":"created"}',
      response_body: "not now",
      error: "answered with status 503",
    },
  });

export const testResult = z
  .strictObject({
    delivery_id: z.string(),
    installation_uuid: z.string(),
    webhook_url: z.string(),
    outcome,
    response_code: responseCode,
    duration_ms: z.number(),
    error: z.string().nullable(),
    trace_id: z.string(),
  })
  .meta({
    id: "TestResult",
    example: {
      delivery_id: DELIVERY_ID,
      installation_uuid: UUID,
      webhook_url: "https://hooks.acme.example/sentry",
      outcome: "delivered",
      response_code: 200,
      duration_ms: 55,
      error: null,
      trace_id: TRACE_ID,
    },
  });

const attemptSummary = z.strictObject({
  attempt: z.int().min(1),
  at: time,
  outcome,
  response_code: responseCode,
  duration_ms: z.number(),
  error: z.string().nullable(),
});

/** Loose: a dead letter is shown as it was stored, by whichever version stored it. */
export const deadLetter = z
  .looseObject({
    sequence: z.int().min(1).meta({ description: "Names it in the calls about one dead letter." }),
    reason: z.string().meta({
      description:
        "exhausted, rejected, gone, blocked, uninstalled, expired, redelivered, discarded, invalid (the event could not be read) or unreadable (the dead letter itself can't be).",
    }),
    error: z.string().nullable(),
    dead_lettered_at: time,
    delivery_id: z.string().optional().meta({ description: "Not there when no delivery could be read." }),
    app: z.string().nullish().meta({ description: "Null: it belongs to none." }),
    installation_uuid: z.string().optional(),
    attempts_made: count.optional(),
    attempts: z.array(attemptSummary).optional(),
    event: z
      .looseObject({
        id: z.string(),
        resource: z.string(),
        action: z.string(),
        organization_id: z.string(),
        occurred_at: time,
        data: z.looseObject({}),
      })
      .optional(),
    subject: z.string().optional().meta({ description: "This and what follows only of a message that is kept as it was." }),
    headers: z.record(z.string(), z.string()).optional(),
    body: z.string().optional(),
    body_base64: z.string().optional().meta({ description: "Of bytes that are not UTF-8." }),
    body_cut: z.boolean().optional().meta({ description: "Only the beginning was kept; it can't be replayed." }),
  })
  .meta({
    id: "DeadLetter",
    example: {
      sequence: 7,
      reason: "exhausted",
      error: "answered with status 503",
      dead_lettered_at: "2026-01-05T10:11:12.345Z",
      delivery_id: DELIVERY_ID,
      app: "acme-tracker",
      installation_uuid: UUID,
      attempts_made: 1,
      attempts: [
        {
          attempt: 1,
          at: "2026-01-05T10:11:12.300Z",
          outcome: "failed",
          response_code: 503,
          duration_ms: 55,
          error: "answered with status 503",
        },
      ],
      event: {
        id: "evt-1",
        resource: "issue",
        action: "created",
        organization_id: "42",
        occurred_at: "2026-01-05T10:11:12.000Z",
        data: { issue: { id: "1" } },
      },
    },
  });

export const replayedOne = z.strictObject({ sequence: z.int() }).meta({ id: "ReplayedOne", example: { sequence: 7 } });

export const replay = z
  .strictObject({
    replay_id: z.string(),
    state: z.enum(["running", "done", "failed"]),
    matched: count,
    replayed: count,
    skipped: count.meta({ description: "What holds no delivery, or an event that nobody wants now." }),
    error: z.string().nullable(),
  })
  .meta({ id: "Replay", example: { replay_id: UUID, state: "done", matched: 3, replayed: 3, skipped: 0, error: null } });

export const resent = z
  .strictObject({ delivery_id: z.string(), resend_id: z.string() })
  .meta({ id: "Resent", example: { delivery_id: DELIVERY_ID, resend_id: UUID } });

export const health = z.strictObject({ status: z.literal("ok") }).meta({ id: "Health", example: { status: "ok" } });

export const readiness = z
  .strictObject({
    status: z.enum(["ready", "not ready"]),
    checks: z.record(
      z.string(),
      z.strictObject({
        ok: z.boolean(),
        required: z.boolean().meta({ description: "False: shown, but the service works on without it." }),
        detail: z.string(),
      }),
    ),
  })
  .meta({
    id: "Readiness",
    example: { status: "ready", checks: { nats: { ok: true, required: true, detail: "connected" } } },
  });

export const metricsText = z.string().meta({ example: "posthorn_in_flight 0\n" });

export const problemBody = z
  .strictObject({
    type: z.string(),
    title: z.string(),
    status: z.int(),
    detail: z.string(),
    code: z.string().optional().meta({ description: "See docs/errors.md." }),
    errors: z
      .array(z.strictObject({ path: z.string(), message: z.string() }))
      .optional()
      .meta({ description: "Every member that is wrong, its path joined by dots." }),
  })
  .meta({
    id: "Problem",
    description: "RFC 9457",
    example: {
      type: "about:blank",
      title: "Bad Request",
      status: 400,
      detail: "app acme: webhook_url: missing",
      code: "RECORD_INVALID",
      errors: [{ path: "webhook_url", message: "missing" }],
    },
  });

export const appPage = pageOf(app, "AppPage", "acme-tracker");
export const installationPage = pageOf(installation, "InstallationPage", UUID);
export const webhookRequestPage = pageOf(webhookRequest, "WebhookRequestPage", `2026-01-05T10:11:12.345Z~${DELIVERY_ID}~1`);
export const deadLetterPage = pageOf(deadLetter, "DeadLetterPage", 7);

/** `next` is given as `after` to get the page that follows. */
function pageOf<S extends z.ZodType>(items: S, id: string, next: string | number) {
  const cursor = typeof next === "string" ? z.string() : z.int();
  return z
    .strictObject({ items: z.array(items), next: cursor.nullable().meta({ description: "Null: that was the last page." }) })
    .meta({ id, example: { items: [items.meta()?.["example"]], next } });
}
