/**
 * The schemas of the status events: schemas/<type>.json is generated from here. The compiler checks that they match
 * model/status-event.ts, and tests check them against real events.
 */

import { z } from "zod";
import { INSTALLATION_STATUSES } from "../model/app.ts";
import { CIRCUIT_STATES } from "../model/circuit-state.ts";
import { DEAD_LETTER_REASONS } from "../model/delivery.ts";
import { OUTCOMES } from "../model/outcome.ts";
import { BROKEN_RULES, type StatusEventOf, type StatusEventType } from "../model/status-event.ts";

const time = z.string().meta({ format: "date-time", description: "RFC 3339, UTC, milliseconds." });
const dashboardUrl = z.string().nullable().meta({ description: "Null when POSTHORN_DASHBOARD_URL is not set." });
const status = z.enum(INSTALLATION_STATUSES);
const count = z.int().min(0);
const responseCode = z.int().min(0).max(999).nullable().meta({ description: "0: no response." });

const app = z.string().meta({ description: "The app's slug." });
const installation = {
  app,
  installation_uuid: z.string().meta({ format: "uuid" }),
  organization_id: z.string(),
};

const integration = {
  ...installation,
  webhook_url: z
    .string()
    .meta({ description: "The URL of the installation's webhooks, with secrets as `REDACTED` and without its query." }),
  previous_status: status,
  status,
  dashboard_url: dashboardUrl,
};

const broken = z.object({
  ...integration,
  reason: z
    .object({
      rule: z.enum(BROKEN_RULES),
      window_days: count,
      days: z.array(z.string().meta({ format: "date" })).meta({ description: "The UTC days of the counters, oldest first." }),
      success: count,
      error: count,
      timeout: count,
      fatal: count,
      last_response_code: responseCode,
      last_error: z.string().nullable(),
    })
    .meta({ description: "The rule, and the counters of those days that it used." }),
});

const changed = z.object({
  ...integration,
  reason: z.object({
    by: z.enum(["probe", "person"]).meta({ description: "`probe`: a first success. `person`: a call of the API." }),
  }),
});

const circuit = z.object({
  app,
  previous_state: z.enum(CIRCUIT_STATES),
  state: z.enum(["closed", "open"]),
  reason: z
    .object({ window_s: z.number(), attempts: count, failures: count, failure_percent: z.number() })
    .nullable()
    .meta({ description: "Null when it closed." }),
  open_until: time.nullable().meta({ description: "When the first probe is due; null when it closed." }),
  dashboard_url: dashboardUrl,
});

const throttled = z.object({
  app,
  until: time.meta({ description: "Nothing of the app is attempted before. A further answer of the receiver may move it." }),
  response_code: z.int().meta({ description: "The status of the answer that asked for the pause: 429 or 503." }),
  dashboard_url: dashboardUrl,
});

const released = z.object({
  app,
  throttled_at: time.meta({ description: "When the app was throttled." }),
  dashboard_url: dashboardUrl,
});

const givenUp = z.object({
  ...installation,
  delivery_id: z.string().regex(/^dlv_[0-9a-f]{32}$/),
  event_id: z.string(),
  event_type: z.string().meta({ description: "<resource>.<action>" }),
  attempts: count,
  reason: z.enum(DEAD_LETTER_REASONS),
  last_outcome: z.enum(OUTCOMES).nullable(),
  last_response_code: responseCode,
  last_error: z.string().nullable(),
  dashboard_url: dashboardUrl,
});

const suppressed = z.object({
  app,
  count: z.int().min(1).meta({ description: "Number of `delivery.*` events that were not published." }),
  since: time.meta({ description: "Start of the minute: its first `delivery.*` event." }),
  until: time,
  dashboard_url: dashboardUrl,
});

const appHealth = z
  .object({
    app,
    since: time.meta({ description: "When the app began to fail." }),
    attempts: count,
    failures: count.meta({ description: "Attempts that were not delivered, whatever the answer." }),
    last_success_at: time.nullable().meta({ description: "Null: none within 31 days." }),
    by_code: z.record(z.string().regex(/^\d{1,3}$/), count).meta({ description: "Response code → failures; `0`: no response." }),
    dashboard_url: dashboardUrl,
  })
  .meta({ description: "The attempts of the last 15 minutes, without those that failed for a reason on Posthorn's side." });

function cloudEvent<Type extends StatusEventType, Data extends z.ZodType>(type: Type, subject: string, data: Data, description: string) {
  return z
    .object({
      specversion: z.literal("1.0"),
      id: z.string().meta({ description: "The same whenever the event is published or delivered again." }),
      source: z.string().meta({ description: "/posthorn/<subject prefix>" }),
      type: z.literal(type),
      time,
      subject: z.string().meta({ description: subject }),
      datacontenttype: z.literal("application/json"),
      data,
    })
    .meta({ title: type, description });
}

const ofInstallation = "The installation's uuid.";
const ofDelivery = "The delivery's id.";
const ofApp = "The app's slug.";

const SCHEMAS = {
  "integration.broken": cloudEvent(
    "integration.broken",
    ofInstallation,
    broken,
    "The health rule or a 410 has found the integration broken.",
  ),
  "integration.recovered": cloudEvent("integration.recovered", ofInstallation, changed, "A broken integration works again."),
  "integration.disabled": cloudEvent("integration.disabled", ofInstallation, changed, "A person has disabled the integration."),
  "integration.enabled": cloudEvent("integration.enabled", ofInstallation, changed, "A person has enabled a disabled integration."),
  "circuit.opened": cloudEvent("circuit.opened", ofApp, circuit, "The app is down; its deliveries wait."),
  "circuit.closed": cloudEvent("circuit.closed", ofApp, circuit, "The app answers again."),
  "app.throttled": cloudEvent(
    "app.throttled",
    ofApp,
    throttled,
    "The app's receiver has asked for a pause of more than 10 s; its deliveries wait.",
  ),
  "app.released": cloudEvent("app.released", ofApp, released, "The pause is over; what waited is delivered."),
  "delivery.exhausted": cloudEvent("delivery.exhausted", ofDelivery, givenUp, "The delivery is in dead letters after its last attempt."),
  "delivery.rejected": cloudEvent(
    "delivery.rejected",
    ofDelivery,
    givenUp,
    "The delivery is in dead letters before its last scheduled attempt; `reason` says why.",
  ),
  "delivery.suppressed": cloudEvent(
    "delivery.suppressed",
    ofApp,
    suppressed,
    "An app had more than 100 `delivery.*` events within a minute; the others were not published.",
  ),
  "app.failing": cloudEvent(
    "app.failing",
    ofApp,
    appHealth,
    "At least half of the app's attempts of the last 15 minutes (at least 20) were not delivered.",
  ),
  "app.healthy": cloudEvent(
    "app.healthy",
    ofApp,
    appHealth,
    "Of a failing app's attempts of the last 15 minutes, less than a quarter were not delivered.",
  ),
} as const satisfies { readonly [Type in StatusEventType]: z.ZodType<StatusEventOf<Type>> };

/** JSON Schema of one type of event, in draft 7 as AsyncAPI needs it. Unknown members are allowed: later versions may add some. */
export function statusEventJsonSchema(type: StatusEventType): object {
  return z.toJSONSchema(SCHEMAS[type], { io: "input", target: "draft-7" });
}
