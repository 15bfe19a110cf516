/** Answers about apps and their secrets. */
import { z } from "zod";
import { CIRCUIT_STATES } from "../../model/circuit-state.ts";
import { appStatus, onExhausted } from "../../registry/records.ts";
import { count, pageOf, recordMembers, recordTimes, time } from "./common.ts";

const SECRET = "0123456789abcdef".repeat(4);
const SECRETS = { client_secret: SECRET, webhook_secret: `whsec_${Buffer.from(SECRET).toString("base64")}` };

const appMembers = {
  slug: z.string(),
  name: z.string(),
  webhook_url: z.string().meta({ description: "User names and query values are shown to admin tokens only." }),
  status: appStatus,
  events: z.array(z.string()),
  headers: z.record(z.string(), z.string()).meta({ description: "Values are never shown: `[redacted]`." }),
  timeout_ms: z.int().nullable().meta({ description: "Null: POSTHORN_REQUEST_TIMEOUT." }),
  retry_schedule_s: z.array(z.number()).nullable().meta({ description: "Null: POSTHORN_RETRY_SCHEDULE." }),
  retry_on: z.array(z.string()).nullable().meta({ description: "Answers that are retried; null: the answer decides (docs/webhooks.md)." }),
  max_in_flight: z.int().nullable().meta({ description: "Null: POSTHORN_APP_MAX_IN_FLIGHT." }),
  rate_limit: z
    .strictObject({ per_s: z.number(), burst: z.int() })
    .nullable()
    .meta({ description: "Limit on attempts over all replicas; null: none." }),
  ordered: z.boolean().meta({ description: "Whether order_by is anything but none." }),
  order_by: z.string().meta({ description: "none, app, installation, project, or a JSON Pointer into the event's data." }),
  on_exhausted: onExhausted,
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
  retry_on: null,
  max_in_flight: 32,
  rate_limit: { per_s: 20, burst: 40 },
  ordered: false,
  order_by: "none",
  on_exhausted: "continue",
  ...recordTimes,
};

const secretMembers = {
  client_secret: z.string().meta({ description: "64 hex characters." }),
  webhook_secret: z.string().meta({ description: "The same key in the form of Standard Webhooks." }),
};

export const app = z.strictObject(appMembers).meta({ id: "App", description: "An app as it is registered.", example: appExample });

export const madeApp = z
  .strictObject({ ...appMembers, ...secretMembers })
  .meta({ id: "MadeApp", description: "The only answer that contains an app's secrets.", example: { ...appExample, ...SECRETS } });

export const rotatedSecret = z
  .strictObject({
    slug: z.string(),
    ...secretMembers,
    previous_valid_until: time.meta({ description: "Webhooks carry both signatures until then." }),
  })
  .meta({
    id: "RotatedSecret",
    description: "The app's new secret.",
    example: { slug: "acme-tracker", ...SECRETS, previous_valid_until: "2026-01-06T10:11:12.345Z" },
  });

export const retriedNow = z
  .strictObject({ app: z.string(), deliveries: count.meta({ description: "Deliveries that waited for a retry." }) })
  .meta({ id: "RetriedNow", description: "Retries that are due now.", example: { app: "acme-tracker", deliveries: 12 } });

export const appCircuit = z
  .strictObject({ app: z.string(), circuit: z.enum(CIRCUIT_STATES) })
  .meta({ id: "AppCircuit", description: "The state of an app's circuit.", example: { app: "acme-tracker", circuit: "closed" } });

export const appPage = pageOf(app, "AppPage", "apps.1767607872345.acme-tracker");
