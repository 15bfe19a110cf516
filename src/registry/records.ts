/**
 * The forms of app and installation records (DESIGN 3.3): API bodies, entries of POSTHORN_APPS_FILE and, with what
 * Posthorn adds, the values in the registry bucket.
 */
import { z } from "zod";
import { APP_SLUG, EVENT_PATTERN, INSTALLATION_UUID, ON_EXHAUSTED } from "../model/app.ts";
import { AppError } from "../model/app-error.ts";
import { JSON_POINTER } from "../model/json-pointer.ts";

const identifier = z
  .union([z.string().min(1), z.int()])
  .transform(String)
  .meta({ description: "A string or an integer; kept as a string.", example: "42" });

const webhookUrl = z.string().meta({ description: "Where webhooks go: http or https, a public address, no user name." });

const slug = z
  .string()
  .regex(APP_SLUG, "wanted 1 to 64 of a-z, 0-9, _ and -, beginning with a letter or digit")
  .meta({ example: "acme-tracker" });
const uuid = z
  .string()
  .regex(INSTALLATION_UUID, "wanted a UUID")
  .transform((text) => text.toLowerCase())
  .meta({ example: "0f3c1d2e-5b6a-4c7d-8e9f-0a1b2c3d4e5f" });

const MAX_POINTER_LENGTH = 256;

/** RFC 9110 token; a value without control characters. */
const headerName = z.string().regex(/^[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,128}$/, "wanted a header name");
const headerValue = z.string().regex(/^[\t\x20-\x7e\x80-\xff]*$/, "wanted a header value without control characters");

const orderBy = z.union(
  [
    z.enum(["none", "app", "installation", "project"]),
    z
      .custom<`/${string}`>((value) => typeof value === "string" && value.length <= MAX_POINTER_LENGTH && JSON_POINTER.test(value))
      .meta({
        type: "string",
        pattern: JSON_POINTER.source,
        maxLength: MAX_POINTER_LENGTH,
      }),
  ],
  "wanted none, app, installation, project or a JSON Pointer such as /issue/id",
);

export const appBody = z
  .strictObject({
    slug: slug.optional().meta({ description: "As in the path." }),
    name: z.string().min(1).optional().meta({ description: "Shown to people; the slug when not given." }),
    webhook_url: webhookUrl,
    status: z.enum(["internal", "unpublished", "published"]).default("unpublished").meta({
      description: "Rows in the request log of internal apps leave out the organization.",
    }),
    events: z
      .array(z.string().regex(EVENT_PATTERN, "wanted *, <resource>, <resource>.* or <resource>.<action> of a-z, 0-9 and _"))
      .default([])
      .meta({ description: "What the app subscribes to.", example: ["issue", "comment.created", "metric_alert.*"] }),
    headers: z
      .record(headerName, headerValue)
      .default({})
      .meta({ description: "Sent with every webhook; never instead of one of Posthorn's own." }),
    timeout_ms: z
      .int()
      .min(1)
      .max(120_000)
      .nullish()
      .meta({ description: "Deadline of one attempt; POSTHORN_REQUEST_TIMEOUT when not given." }),
    retry_schedule_s: z
      .array(
        z
          .number()
          .min(0.001)
          .max(30 * 86_400),
      )
      .nullish()
      .meta({ description: "Seconds before the 2nd, 3rd, … attempt; POSTHORN_RETRY_SCHEDULE when not given, no retries when empty." }),
    max_in_flight: z
      .int()
      .min(1)
      .max(100_000)
      .nullish()
      .meta({ description: "Concurrent attempts; POSTHORN_APP_MAX_IN_FLIGHT when not given." }),
    ordered: z.boolean().default(false).meta({ description: "True is short for order_by: app. Where order_by is given, that decides." }),
    order_by: orderBy.nullish().meta({
      description:
        "What keeps the order of the events: deliveries of one installation and value start one after the other. none, app (all deliveries of the app), installation, project, or a JSON Pointer into the event's data.",
      example: "/issue/id",
    }),
    on_exhausted: z.enum(ON_EXHAUSTED).default("continue").meta({
      description: "When an ordered delivery goes to dead letters, those behind it continue, or stop until it is replayed or deleted.",
    }),
    client_secret: z
      .string()
      .regex(/^[0-9a-f]{64}$/, "wanted 64 lower-case hex characters")
      .optional()
      .meta({ description: "For apps that move here with a secret; made by Posthorn when not given. Never in an answer." }),
  })
  .meta({ id: "AppBody" });

export type AppBody = z.output<typeof appBody>;

export const installationBody = z
  .strictObject({
    uuid: uuid.optional().meta({ description: "As in the path." }),
    app: slug,
    organization_id: identifier,
    project_ids: z.array(identifier).default([]).meta({ description: "Empty: all projects." }),
    status: z.enum(["active", "broken", "disabled"]).optional().meta({
      description: "Changes only by enable, disable, the health rule and recovery; ignored here.",
    }),
    webhook_url: webhookUrl.nullish().meta({ description: "Replaces the app's." }),
  })
  .meta({ id: "InstallationBody" });

export type InstallationBody = z.output<typeof installationBody>;

export const slugParameter = slug;
export const uuidParameter = uuid;

/** Why a URL can't be a webhook's, or null. delivery/target-check.ts has it. */
export type RefusesUrl = (url: string) => Promise<string | null>;

/** @throws AppError RECORD_INVALID naming every member that is wrong. */
export function parseRecord<S extends z.ZodType>(schema: S, value: unknown, what: string): z.output<S> {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  throw new RecordInvalid(what, result.error.issues.map(problemOf));
}

export interface RecordProblem {
  /** Members from the top, joined by dots. */
  readonly path: string;
  readonly message: string;
}

export class RecordInvalid extends AppError {
  readonly problems: readonly RecordProblem[];

  constructor(what: string, problems: readonly RecordProblem[]) {
    super("RECORD_INVALID", `${what}: ${problems.map(({ path, message }) => (path === "" ? message : `${path}: ${message}`)).join("; ")}`);
    this.problems = problems;
  }
}

function problemOf(issue: z.core.$ZodIssue): RecordProblem {
  return { path: issue.path.map(String).join("."), message: issue.message };
}

/** What the bucket holds of an app beside its body. Unknown members are kept, so that versions can live side by side. */
export interface StoredApp extends Omit<AppBody, "client_secret"> {
  readonly slug: string;
  readonly name: string;
  /** secret-box.ts form. */
  readonly client_secret: string;
  readonly previous_secret?: { readonly value: string; readonly valid_until: string };
  readonly created_at: string;
  readonly updated_at: string;
}

export interface StoredInstallation extends Omit<InstallationBody, "status"> {
  readonly uuid: string;
  readonly status: "active" | "broken" | "disabled";
  /** Number of its last status event. */
  readonly n?: number;
  /** The counters in Redis are of an earlier state; status/integration-status.ts clears them before they are judged by. */
  readonly counters_stale?: true;
  readonly created_at: string;
  readonly updated_at: string;
}
