/**
 * Reads the values of the registry bucket. Any account that may publish on the bucket's subjects can have written them, so all
 * members are checked. The message of a RECORD_INVALID holds no part of a value, which may be secret.
 */

import { z } from "zod";
import { APP_SLUG, EVENT_PATTERN, INSTALLATION_STATUSES, INSTALLATION_UUID, ON_EXHAUSTED } from "../model/app.ts";
import { AppError } from "../model/app-error.ts";
import { CIRCUIT_STATES } from "../model/circuit-state.ts";
import type { RecordKind } from "../model/record-kind.ts";
import { RETRY_ON_CODE } from "../model/retry-on.ts";
import { epochMsOf } from "../model/rfc3339.ts";
import type { AppHealthRecord, CircuitRecord, InstallationRecord, ThrottleRecord } from "../model/stored-records.ts";
import { toApp, toInstallation } from "./opened-records.ts";
import { storedProblem } from "./record-problem.ts";
import { orderBy, RecordInvalid, type StoredApp } from "./records.ts";
import type { SecretBox } from "./secret-box.ts";

const time = z.string().refine((text) => !Number.isNaN(epochMsOf(text)), "wanted a time");
const milliseconds = z.number().min(0).max(8.64e15);

/** Only the members that Posthorn reads are checked. */
const pendingEvent = z.looseObject({ id: z.string(), time, type: z.string(), data: z.looseObject({}) });
const transition = { n: z.int().min(0).optional(), pending_event: pendingEvent.optional() };

const storedApp = z.looseObject({
  slug: z.string(),
  name: z.string(),
  webhook_url: z.string(),
  status: z.enum(["internal", "unpublished", "published"]).default("unpublished"),
  events: z.array(z.string().regex(EVENT_PATTERN)).default([]),
  headers: z.record(z.string().regex(/^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/), z.string()).default({}),
  timeout_ms: z.number().min(1).nullish(),
  retry_schedule_s: z.array(z.number().min(0)).nullish(),
  retry_on: z.array(z.string().regex(RETRY_ON_CODE)).nullish(),
  max_in_flight: z.int().min(1).nullish(),
  rate_limit: z.looseObject({ per_s: z.number().gt(0), burst: z.int().min(1) }).nullish(),
  ordered: z.boolean().optional(),
  order_by: orderBy.nullish(),
  on_exhausted: z.enum(ON_EXHAUSTED).optional(),
  client_secret: z.string().min(1),
  previous_secret: z.looseObject({ value: z.string().min(1), valid_until: time }).optional(),
  created_at: time.optional(),
  updated_at: time.optional(),
});

const installationRecord = z.looseObject({
  uuid: z.string(),
  app: z.string().regex(APP_SLUG),
  organization_id: z.string().min(1),
  project_ids: z.array(z.string()).default([]),
  status: z.enum(INSTALLATION_STATUSES).default("active"),
  webhook_url: z.string().nullish(),
  ...transition,
  counters_stale: z.literal(true).optional(),
  broken_at: time.optional(),
  broken_reason: z.looseObject({ rule: z.enum(["fatal", "failing_days", "timeouts"]) }).optional(),
  probed_at: time.optional(),
  recovered_at: time.optional(),
  recovered_backlog: z.number().nullish(),
  created_at: time.optional(),
  updated_at: time.optional(),
});

const circuitRecord = z.looseObject({
  state: z.enum(CIRCUIT_STATES),
  open_for_ms: milliseconds.optional(),
  open_until: milliseconds.optional(),
  probe_until: milliseconds.optional(),
  probe_by: z.string().nullish(),
  ...transition,
});

const appHealthRecord = z.looseObject({ state: z.enum(["failing", "healthy"]), since: time, ...transition });

const throttleRecord = z.looseObject({
  since: milliseconds,
  until: milliseconds,
  response_code: z.int().min(0).max(999),
  announced: z.boolean(),
  ...transition,
});

export const appKey = (slug: string): string => `app.${slug}`;
export const installationKey = (uuid: string): string => `installation.${uuid}`;

export interface RegistryKinds {
  /** Secrets, header values and the URL of a valid record can be decrypted. */
  readonly apps: RecordKind<StoredApp>;
  readonly installations: RecordKind<InstallationRecord>;
}

export function createRegistryKinds(secretBox: SecretBox): RegistryKinds {
  return {
    apps: {
      prefix: appKey(""),
      parse(slug, value) {
        const record = parseStored<StoredApp>(storedApp, value);
        checkName("slug", slug, record.slug, APP_SLUG);
        checkUrl(toApp(record, secretBox).webhookUrl);
        return record;
      },
    },
    installations: {
      prefix: installationKey(""),
      parse(uuid, value) {
        const record = parseStored<InstallationRecord>(installationRecord, value);
        checkName("uuid", uuid, record.uuid, INSTALLATION_UUID);
        const { webhookUrl } = toInstallation(record, secretBox);
        if (webhookUrl !== null) checkUrl(webhookUrl);
        return record;
      },
    },
  };
}

export const CIRCUITS: RecordKind<CircuitRecord> = {
  prefix: "circuit.",
  parse(app, value) {
    checkName("circuit", app, app, APP_SLUG);
    return parseStored<CircuitRecord>(circuitRecord, value);
  },
};

export const APP_HEALTH: RecordKind<AppHealthRecord> = {
  prefix: "health.",
  parse(app, value) {
    checkName("health", app, app, APP_SLUG);
    return parseStored<AppHealthRecord>(appHealthRecord, value);
  },
};

export const THROTTLES: RecordKind<ThrottleRecord> = {
  prefix: "throttle.",
  parse(app, value) {
    checkName("throttle", app, app, APP_SLUG);
    return parseStored<ThrottleRecord>(throttleRecord, value);
  },
};

/** @throws AppError RECORD_INVALID */
export function parseStored<T>(schema: z.ZodType, value: string): T {
  let json: unknown;
  try {
    json = JSON.parse(value);
  } catch {
    throw new AppError("RECORD_INVALID", "invalid record: not JSON in UTF-8, wanted an object");
  }
  const result = schema.safeParse(json, { reportInput: true });
  if (result.success) return result.data as T;
  const problems = result.error.issues.slice(0, MAX_PROBLEMS).map(storedProblem);
  throw new RecordInvalid("invalid record", problems);
}

const MAX_PROBLEMS = 3;

function checkName(member: string, ofKey: string, found: string, form: RegExp): void {
  if (form.test(ofKey) && found === ofKey) return;
  throw new RecordInvalid("invalid record", [{ path: member, message: "wanted the name in its key" }]);
}

function checkUrl(url: string): void {
  if (/^https?:/i.test(url) && URL.canParse(url)) return;
  throw new RecordInvalid("invalid record", [{ path: "webhook_url", message: "wanted an http or https URL" }]);
}
