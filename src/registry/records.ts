/**
 * The forms of app and installation records (docs/design.md 3.3): API bodies, entries of POSTHORN_APPS_FILE and, with Posthorn's
 * own members, the values in the registry bucket.
 */
import { z } from "zod";
import { APP_SLUG, EVENT_PATTERN, INSTALLATION_STATUSES, INSTALLATION_UUID, ON_EXHAUSTED, type OnExhausted } from "../model/app.ts";
import { AppError } from "../model/app-error.ts";
import { JSON_POINTER } from "../model/json-pointer.ts";
import { RETRY_ON_CODE } from "../model/retry-on.ts";
import { type RecordProblem, recordProblem } from "./record-problem.ts";
import { headersOf, headerValue, identifier, plainText, webhookUrl } from "./record-texts.ts";

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

/** A client may send back an answer as a body; these members change nothing. */
const readOnly = z.string().nullish().meta({ description: "Set by Posthorn; ignored here." });
const readOnlyMembers = { created_at: readOnly, updated_at: readOnly, invalid: readOnly };

const slugInBody = slug.optional().meta({ description: "As in the path." });
const uuidInBody = uuid.optional().meta({ description: "As in the path." });

export const orderBy = z.union(
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

/** More than the codes in use. */
const MAX_RETRY_ON = 100;

const RETRY_ON_WANTED = "wanted a status code from 300 to 599 other than 410, or one of the classes 3xx, 4xx and 5xx";

/** Kept as a text in lower case. */
const retryOnMember = z
  .union(
    [
      z.int().meta({ minimum: 300, maximum: 599, not: { const: 410 } }),
      z.string().meta({ pattern: "^[345]([0-9]{2}|[xX]{2})$", not: { const: "410" } }),
    ],
    RETRY_ON_WANTED,
  )
  .refine((code) => RETRY_ON_CODE.test(String(code).toLowerCase()), RETRY_ON_WANTED)
  .transform((code) => String(code).toLowerCase());

export const appStatus = z.enum(["internal", "unpublished", "published"]).meta({ id: "AppStatus", description: "The kind of app." });
export const onExhausted = z
  .enum(ON_EXHAUSTED)
  .meta({ id: "OnExhausted", description: "The next step of an ordered queue after a dead letter." });

/** Members of an app; the body has their defaults. */
const appForms = {
  name: plainText.min(1).meta({ description: "Shown to people; the slug when not given." }),
  webhook_url: webhookUrl,
  status: appStatus.meta({
    description: "Rows in the request log of internal apps leave out the organization.",
  }),
  events: z
    .array(z.string().regex(EVENT_PATTERN, "wanted *, <resource>, <resource>.* or <resource>.<action> of a-z, 0-9 and _"))
    .meta({ description: "Event patterns that the app subscribes to.", example: ["issue", "comment.created", "metric_alert.*"] }),
  timeout_ms: z.int().min(1).max(120_000).meta({ description: "Deadline of one attempt; POSTHORN_REQUEST_TIMEOUT when not given." }),
  retry_schedule_s: z
    .array(
      z
        .number()
        .min(0)
        .max(30 * 86_400),
    )
    .meta({ description: "Seconds before the 2nd, 3rd, … attempt; POSTHORN_RETRY_SCHEDULE when not given, no retries when empty." }),
  retry_on: z
    .array(retryOnMember)
    .max(MAX_RETRY_ON)
    .meta({
      description:
        "Answers that are retried, on the retry schedule: status codes and the classes 3xx, 4xx and 5xx. All other answers than 2xx go to dead letters at once. When not given, the answer decides (docs/webhooks.md).",
      example: ["404", "408", "425", "429", "5xx"],
    }),
  max_in_flight: z.int().min(1).max(100_000).meta({ description: "Concurrent attempts; POSTHORN_APP_MAX_IN_FLIGHT when not given." }),
  rate_limit: z
    .strictObject({
      per_s: z.number().min(0.01).max(100_000).meta({ description: "Attempts a second." }),
      burst: z
        .int()
        .min(1)
        .max(100_000)
        .optional()
        .meta({ description: "Attempts at once after a quiet time; those of a second when not given." }),
    })
    .meta({
      description: "Limit on attempts over all replicas; what is beyond it is parked and delivered in its turn. No limit when not given.",
      example: { per_s: 20, burst: 40 },
    }),
  ordered: z
    .boolean()
    .meta({ description: "True is short for order_by: app. Where order_by is given, that decides; true with none is refused." }),
  order_by: orderBy.meta({
    description:
      'Which deliveries keep the order of the events: those of one installation and value start one after the other. none, app (all deliveries of the app), installation, project, or a JSON Pointer into data, whose values count as text: 1 and "1" are the same, and so are a missing value, null and "".',
    example: "/issue/id",
  }),
  on_exhausted: onExhausted.meta({
    description: "When an ordered delivery goes to dead letters, those behind it continue, or stop until it is replayed or deleted.",
  }),
  client_secret: z
    .string()
    .regex(/^[0-9a-f]{64}$/, "wanted 64 lower-case hex characters")
    .meta({
      description:
        "For an app that already has a secret elsewhere; otherwise Posthorn creates one or keeps the current one. Never in an answer.",
    }),
};
const headersAbout = {
  description:
    "Sent with every webhook, but never in place of Posthorn's own headers. Answers show `[redacted]` for each value; sent back, it keeps the value.",
};

/** The body of a PUT: an absent member has its default. */
export const appBody = z
  .strictObject({
    slug: slugInBody,
    name: appForms.name.optional(),
    webhook_url: appForms.webhook_url,
    status: appForms.status.default("unpublished"),
    events: appForms.events.default([]),
    headers: headersOf(headerValue).default({}).meta(headersAbout),
    timeout_ms: appForms.timeout_ms.nullish(),
    retry_schedule_s: appForms.retry_schedule_s.nullish(),
    retry_on: appForms.retry_on.nullish(),
    max_in_flight: appForms.max_in_flight.nullish(),
    rate_limit: appForms.rate_limit.nullish(),
    ordered: appForms.ordered.default(false),
    order_by: appForms.order_by.nullish(),
    on_exhausted: appForms.on_exhausted.default("continue"),
    client_secret: appForms.client_secret.optional(),
    ...readOnlyMembers,
  })
  .meta({ id: "AppBody", description: "An app as a PUT replaces it: an absent member has its default." });

export type AppBody = z.output<typeof appBody>;

/** A merge patch may change one member. */
const ratePatch = appForms.rate_limit.partial().extend({ burst: appForms.rate_limit.shape.burst.nullable() });

/** The body of a PATCH (RFC 7396): null stands for the default. */
export const appPatch = z
  .strictObject({
    slug: slugInBody,
    name: appForms.name.nullish(),
    webhook_url: appForms.webhook_url.nullish(),
    status: appForms.status.nullish(),
    events: appForms.events.nullish(),
    headers: headersOf(headerValue.nullable()).nullish().meta(headersAbout),
    timeout_ms: appForms.timeout_ms.nullish(),
    retry_schedule_s: appForms.retry_schedule_s.nullish(),
    retry_on: appForms.retry_on.nullish(),
    max_in_flight: appForms.max_in_flight.nullish(),
    rate_limit: ratePatch.nullish(),
    ordered: appForms.ordered.nullish(),
    order_by: appForms.order_by.nullish(),
    on_exhausted: appForms.on_exhausted.nullish(),
    client_secret: appForms.client_secret.optional(),
    ...readOnlyMembers,
  })
  .meta({ id: "AppPatch", description: "The members that a PATCH changes: null stands for the default." });

const installationForms = {
  organization_id: identifier,
  project_ids: z.array(identifier).meta({ description: "Empty: all projects." }),
  status: z.enum(INSTALLATION_STATUSES),
  webhook_url: webhookUrl.nullish().meta({ description: "Replaces the app's." }),
};
const allowDuplicate = z.boolean().optional().meta({
  description: "Allows a second installation of the app in this organization. Applies to this call only.",
});
const STATUS_ABOUT = "Changes only by enable, disable, the health rule and recovery";

const installationMembers = {
  app: slug,
  organization_id: installationForms.organization_id,
  project_ids: installationForms.project_ids.default([]),
  webhook_url: installationForms.webhook_url,
  allow_duplicate: allowDuplicate,
};

/** The body of a PUT: an absent member has its default. */
export const installationBody = z
  .strictObject({
    uuid: uuidInBody,
    ...installationMembers,
    status: installationForms.status.optional().meta({ description: `${STATUS_ABOUT}; ignored here.` }),
    ...readOnlyMembers,
  })
  .meta({ id: "InstallationBody", description: "An installation as a PUT replaces it: an absent member has its default." });

/** The body of a POST: Posthorn chooses the uuid. */
export const newInstallationBody = z
  .strictObject(installationMembers)
  .meta({ id: "NewInstallationBody", description: "An installation whose uuid Posthorn chooses." });

/** The body of a PATCH (RFC 7396): null stands for the default. */
export const installationPatch = z
  .strictObject({
    uuid: uuidInBody,
    app: slug.optional(),
    organization_id: installationForms.organization_id.optional(),
    project_ids: installationForms.project_ids.nullish(),
    webhook_url: installationForms.webhook_url,
    allow_duplicate: allowDuplicate,
    status: installationForms.status.optional().meta({ description: `${STATUS_ABOUT}: as it is, or left out.` }),
    ...readOnlyMembers,
  })
  .meta({ id: "InstallationPatch", description: "The members that a PATCH changes: null stands for the default." });

export type InstallationBody = z.output<typeof installationBody>;

export const slugParameter = slug;
export const uuidParameter = uuid;

/** Why a URL can't be a webhook's, or null; implemented by delivery/http/target-check.ts. */
export type RefusesUrl = (url: string) => Promise<string | null>;

/** @param what names the value in the message; may be empty. @throws AppError RECORD_INVALID naming every invalid member */
export function parseRecord<S extends z.ZodType>(schema: S, value: unknown, what: string): z.output<S> {
  const result = schema.safeParse(value, { reportInput: true });
  if (result.success) return result.data;
  const known = schema instanceof z.ZodObject ? Object.keys(schema.shape as object) : [];
  throw new RecordInvalid(
    what,
    result.error.issues.map((issue) => recordProblem(issue, known)),
  );
}

export class RecordInvalid extends AppError {
  readonly problems: readonly RecordProblem[];

  constructor(what: string, problems: readonly RecordProblem[]) {
    const texts = problems.map(({ path, message }) => (path === "" ? message : `${path}: ${message}`));
    super("RECORD_INVALID", `${what === "" ? "" : `${what}: `}${texts.join("; ")}`);
    this.problems = problems;
  }
}

/** An app's record in the bucket. Unknown members are kept, so that versions can run side by side. */
export interface StoredApp extends Omit<AppBody, "client_secret" | "created_at" | "updated_at" | "ordered" | "on_exhausted"> {
  /** Written by version 0.1, which had no order_by. */
  readonly ordered?: boolean | undefined;
  readonly on_exhausted?: OnExhausted | undefined;
  readonly slug: string;
  readonly name: string;
  /** Encrypted by secret-box.ts, as are `webhook_url` and the values of `headers`. */
  readonly client_secret: string;
  readonly previous_secret?: { readonly value: string; readonly valid_until: string };
  readonly created_at?: string;
  readonly updated_at?: string;
}
