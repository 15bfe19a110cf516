/**
 * The one table of all settings: name, form, default and what it does. The Config type, the parser and
 * docs/configuration.md all come from it. A setting is added here and nowhere else.
 */
import {
  type ApiToken,
  formatDuration,
  parseApiTokens,
  parseChoice,
  parseCidrs,
  parseDuration,
  parseDurations,
  parseEncryptionKey,
  parseInteger,
  parseJsonObject,
  parseMatching,
  parseUrl,
} from "./values.ts";

/** One setting: environment variable POSTHORN_<name>. */
export interface Setting<T> {
  readonly parse: (text: string) => T;
  /** As it would be written in the environment; undefined: not set, and the value is null. */
  readonly default?: string;
  readonly form: string;
  readonly about: string;
  readonly group: string;
  /** Also readable from a file named by POSTHORN_<name>_FILE, and masked wherever settings are shown. */
  readonly secret?: boolean;
  /** Checked after parsing; returns what was wanted, or null. */
  readonly check?: (value: T) => string | null;
}

/** A setting that always has a value. */
function setting<T>(definition: Setting<T> & { default: string }): Setting<T> & { default: string } {
  return definition;
}

/** A setting that is null when not set. */
function optional<T>(definition: Setting<T>): Setting<T> {
  return definition;
}

interface Described {
  readonly group: string;
  readonly about: string;
}

function duration(
  byDefault: string,
  { group, about }: Described,
  minimumMs = 1,
  maximumMs = Number.POSITIVE_INFINITY,
): Setting<number> & { default: string } {
  return setting({
    parse: parseDuration,
    default: byDefault,
    form: "duration",
    group,
    about,
    check: (ms) => {
      if (ms < minimumMs) return `wanted at least ${formatDuration(minimumMs)}`;
      return ms > maximumMs ? `wanted at most ${formatDuration(maximumMs)}` : null;
    },
  });
}

function integer(
  byDefault: string,
  { group, about }: Described,
  minimum = 1,
  maximum = Number.MAX_SAFE_INTEGER,
): Setting<number> & { default: string } {
  return setting({
    parse: parseInteger,
    default: byDefault,
    form: "whole number",
    group,
    about,
    check: (value) => (value >= minimum && value <= maximum ? null : `wanted ${minimum} to ${maximum}`),
  });
}

const CONNECTIONS = "Connections";
const HTTP = "HTTP API";
const DELIVERY = "Delivery";
const LOG = "Request log";
const HEALTH = "Integration health";
const CIRCUIT = "Circuit";
const PROCESS = "Process";

/** Of what somebody waits for. */
const LONGEST_WAIT_MS = 3_600_000;
const TESTS = "Tests";

export const SETTINGS = {
  NATS_URL: setting({
    parse: parseUrl(["nats", "tls", "ws", "wss"]),
    default: "nats://127.0.0.1:4222",
    form: "URLs, separated by commas",
    group: CONNECTIONS,
    about: "The NATS servers.",
    secret: true,
  }),
  NATS_CREDS_FILE: optional({
    parse: String,
    form: "path",
    group: CONNECTIONS,
    about: "A NATS credentials file (JWT and seed).",
  }),
  REDIS_URL: setting({
    parse: parseUrl(["redis", "rediss"]),
    default: "redis://127.0.0.1:6379",
    form: "URL",
    group: CONNECTIONS,
    about: "The Redis server.",
    secret: true,
  }),
  STARTUP_TIMEOUT: duration(
    "60s",
    {
      group: CONNECTIONS,
      about: "How long a start waits for NATS and Redis before it gives up.",
    },
    1,
    LONGEST_WAIT_MS,
  ),
  SUBJECT_PREFIX: setting({
    parse: parseMatching(/^[A-Za-z0-9][A-Za-z0-9_-]{0,31}$/, "1 to 32 letters, digits, _ and -"),
    default: "app-platform",
    form: "subject token",
    group: CONNECTIONS,
    about: "First token of every subject; stream names and the registry bucket are derived from it.",
  }),
  STREAM_REPLICAS: integer(
    "1",
    { group: CONNECTIONS, about: "Replicas of the streams and the bucket that Posthorn makes (3 in a NATS cluster)." },
    1,
    5,
  ),

  HTTP_HOST: setting({
    parse: parseMatching(/^[A-Za-z0-9.:_-]+$/, "a host name or an address"),
    default: "127.0.0.1",
    form: "address",
    group: HTTP,
    about: "Where the API listens. Beyond loopback only with API_TOKENS.",
  }),
  HTTP_PORT: integer("8080", { group: HTTP, about: "The API's port; 0 takes a free one, which the log names." }, 0, 65535),
  API_TOKENS: setting<readonly ApiToken[]>({
    parse: parseApiTokens,
    default: "",
    form: "`admin:<token>,read:<token>`",
    group: HTTP,
    about: "Bearer tokens. Without any, the API is open to whoever reaches it, and only loopback is allowed.",
    secret: true,
  }),
  ENCRYPTION_KEY: optional({
    parse: parseEncryptionKey,
    form: "32 bytes, hex or base64",
    group: HTTP,
    about: "Encrypts client secrets in the registry (AES-256-GCM). Without it they are stored in the clear and the start warns.",
    secret: true,
  }),
  APPS_FILE: optional({
    parse: String,
    form: "path",
    group: HTTP,
    about: "YAML with `apps` and `installations`, put into the registry at start.",
  }),
  DASHBOARD_URL: optional({
    parse: parseUrl(["http", "https"]),
    form: "URL",
    group: HTTP,
    about: "Where people reach the dashboard; `dashboard_url` in status events starts with it.",
  }),
  TRACE_URL: optional({
    parse: parseMatching(/^https?:\/\/\S*\{trace_id\}\S*$/, "an http or https URL with {trace_id} in it"),
    form: "URL with `{trace_id}`",
    group: HTTP,
    about: "How the dashboard links to a trace, such as `https://jaeger.example/trace/{trace_id}`.",
  }),

  HEADER_PREFIX: setting({
    parse: parseMatching(/^[A-Za-z][A-Za-z0-9-]{0,63}$/, "a header name's beginning such as Sentry-Hook"),
    default: "Sentry-Hook",
    form: "header name",
    group: DELIVERY,
    about: "Beginning of the vendor headers `<prefix>-Resource`, `-Timestamp`, `-Signature`.",
  }),
  DEFAULT_ACTOR: setting({
    parse: parseJsonObject,
    default: '{"type":"application","id":"sentry","name":"Sentry"}',
    form: "JSON object",
    group: DELIVERY,
    about: "The actor of events that name none.",
  }),
  TARGET_ALLOW: setting<readonly string[]>({
    parse: parseCidrs,
    default: "",
    form: "CIDRs, separated by commas",
    group: DELIVERY,
    about: "Networks that webhooks may go to although they are not public.",
  }),
  REQUEST_TIMEOUT: duration(
    "10s",
    {
      group: DELIVERY,
      about: "One deadline over connect, headers and body of an attempt; an app's `timeout_ms` replaces it.",
    },
    1,
    LONGEST_WAIT_MS,
  ),
  CONNECT_TIMEOUT: duration("3s", { group: DELIVERY, about: "Deadline of the connect alone." }, 1, LONGEST_WAIT_MS),
  RETRY_SCHEDULE: setting<readonly number[]>({
    parse: parseDurations,
    default: "5s,30s,5m,30m,2h,5h,10h,10h",
    form: "durations, separated by commas",
    group: DELIVERY,
    about: "Delays before the 2nd, 3rd, … attempt, each with ±20 % jitter; an app's `retry_schedule_s` replaces it.",
    check: (schedule) => (schedule.length <= 50 ? null : "wanted at most 50 delays"),
  }),
  MAX_IN_FLIGHT: integer("256", { group: DELIVERY, about: "Concurrent attempts of one process." }, 1, 100_000),
  APP_MAX_IN_FLIGHT: integer(
    "32",
    { group: DELIVERY, about: "Concurrent attempts for one app; an app's `max_in_flight` replaces it." },
    1,
    100_000,
  ),
  MAX_PARKED_AGE: duration("7d", {
    group: DELIVERY,
    about: "What has waited in the parked lane longer than this, counted from the first parking, goes to dead letters.",
  }),

  REQUEST_LOG_SIZE: integer("100", { group: LOG, about: "Length of each request and error list." }, 1, 100_000),
  REQUEST_LOG_TTL: duration("30d", { group: LOG, about: "How long a list lives after its last row." }, 1000),
  LOG_BUFFER_ROWS: integer(
    "10000",
    { group: LOG, about: "Rows kept in memory while Redis is away; beyond it the oldest are dropped and counted." },
    1,
    10_000_000,
  ),

  BROKEN_WINDOW: integer("7", { group: HEALTH, about: "Days that the broken rule looks at, and fails on in a row." }, 1, 30),
  BROKEN_TIMEOUTS: integer("1000", {
    group: HEALTH,
    about: "Timeouts of one day that break an integration when successes are not more.",
  }),
  BROKEN_RULES: setting({
    parse: (text) => Object.freeze(text.split(",").map((part) => parseChoice(["fatal", "failing_days", "timeouts", "none"])(part.trim()))),
    default: "fatal,failing_days,timeouts",
    form: "rules, separated by commas",
    group: HEALTH,
    about: "The parts of the broken rule that are on: `fatal`, `failing_days`, `timeouts`, or `none`.",
  }),
  BROKEN_ACTION: setting({
    parse: parseChoice(["park", "deliver"]),
    default: "park",
    form: "`park` or `deliver`",
    group: HEALTH,
    about: "What happens to the deliveries of a broken integration.",
  }),
  BROKEN_PROBE_INTERVAL: duration("1h", { group: HEALTH, about: "Time between two probes of a broken integration." }),

  CIRCUIT_WINDOW: duration("60s", { group: CIRCUIT, about: "Attempts younger than this are judged." }, 1000),
  CIRCUIT_MIN_ATTEMPTS: integer("20", { group: CIRCUIT, about: "Fewer attempts than this never open the circuit." }),
  CIRCUIT_FAILURE_PERCENT: integer("50", { group: CIRCUIT, about: "Share of failed attempts that opens it." }, 1, 100),
  CIRCUIT_OPEN_TIME: duration("30s", { group: CIRCUIT, about: "How long it first stays open; doubles with every failed probe." }),
  CIRCUIT_MAX_OPEN_TIME: duration("10m", { group: CIRCUIT, about: "The longest it stays open before the next probe." }),

  DRAIN_TIMEOUT: duration("25s", { group: PROCESS, about: "How long SIGTERM waits for attempts in flight." }, 1, LONGEST_WAIT_MS),
  LOG_LEVEL: setting({
    parse: parseChoice(["trace", "debug", "info", "warn", "error", "fatal", "silent"]),
    default: "info",
    form: "level",
    group: PROCESS,
    about: "`debug` and below add detail; `info` has one line per attempt.",
  }),
  LOG_DELIVERED_PERCENT: integer(
    "100",
    { group: PROCESS, about: "Share of the delivered attempts that are logged; of the others all are." },
    0,
    100,
  ),
  METRICS_APPS: integer(
    "100",
    { group: PROCESS, about: "Apps with attempt counters of their own in the metrics; all others are counted as `_other`." },
    0,
    1_000,
  ),

  TEST_CLOCK: optional({
    parse: String,
    form: "path",
    group: TESTS,
    about: "A file that says how far ahead of the system's clock Posthorn's is, such as `6d`. Refused with NODE_ENV=production.",
  }),
} as const;

export type SettingName = keyof typeof SETTINGS;

type Parsed<S> = S extends Setting<infer T> ? T : never;
type Value<S> = S extends { default: string } ? Parsed<S> : Parsed<S> | null;
type CamelCase<S extends string> = S extends `${infer Head}_${infer Tail}`
  ? `${Lowercase<Head>}${Capitalize<CamelCase<Tail>>}`
  : Lowercase<S>;

/** All settings, parsed. Durations are milliseconds. A setting without default that isn't set is null. */
export type Config = {
  readonly [Name in SettingName as CamelCase<Name>]: Value<(typeof SETTINGS)[Name]>;
};
