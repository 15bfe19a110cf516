/**
 * The one table of all settings: name, form, default and what it does. The Config type, the parser and
 * docs/configuration.md all come from it. A setting is added here and nowhere else.
 */
import { DEFAULT_REDIS_KEY_PREFIX, REDIS_KEY_PREFIX, REDIS_KEY_PREFIX_FORM } from "../model/redis-key-prefix.ts";
import { SUBJECT_PREFIX, SUBJECT_PREFIX_FORM } from "../model/subject-prefix.ts";
import { certificateFile, duration, integer, keyFile, optional, type Setting, setting, size } from "./setting.ts";
import {
  type ApiToken,
  parseApiTokens,
  parseChoice,
  parseDurations,
  parseEncryptionKey,
  parseJsonObject,
  parseList,
  parseMatching,
  parseNameServers,
  parsePorts,
  parseProxyUrl,
  parseRedisUrls,
  parseTargets,
  parseUrl,
} from "./values.ts";

const CONNECTIONS = "Connections";
const HTTP = "HTTP API";
const DELIVERY = "Delivery";
const TARGETS = "Targets";
const EVENTS = "Limits on events";
const RECORDS = "Limits on apps and installations";
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
  NATS_CA_FILE: certificateFile({
    group: CONNECTIONS,
    about: "Authorities that the NATS servers' certificates are checked by, instead of the system's. TLS is required then.",
  }),
  NATS_CERT_FILE: certificateFile({ group: CONNECTIONS, about: "The client certificate shown to NATS. TLS is required then." }),
  NATS_KEY_FILE: keyFile({ group: CONNECTIONS, about: "The key of NATS_CERT_FILE." }),
  REDIS_URL: setting({
    parse: parseRedisUrls,
    default: "redis://127.0.0.1:6379",
    form: "URLs, separated by commas",
    group: CONNECTIONS,
    about:
      "The Redis server, with an ACL user as `redis://<user>:<password>@<host>`; `rediss:` is TLS. Several URLs, or one of a node that says so, are a Redis Cluster.",
    secret: true,
  }),
  REDIS_CA_FILE: certificateFile({
    group: CONNECTIONS,
    about: "Authorities that the Redis server's certificate is checked by, instead of the system's.",
  }),
  REDIS_CERT_FILE: certificateFile({ group: CONNECTIONS, about: "The client certificate shown to Redis." }),
  REDIS_KEY_FILE: keyFile({ group: CONNECTIONS, about: "The key of REDIS_CERT_FILE." }),
  REDIS_KEY_PREFIX: setting({
    parse: parseMatching(REDIS_KEY_PREFIX, REDIS_KEY_PREFIX_FORM),
    default: DEFAULT_REDIS_KEY_PREFIX,
    form: REDIS_KEY_PREFIX_FORM,
    group: CONNECTIONS,
    about: "What every Redis key begins with, before a colon: one for each Posthorn (each SUBJECT_PREFIX) that shares a Redis.",
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
    parse: parseMatching(SUBJECT_PREFIX, SUBJECT_PREFIX_FORM),
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
    about:
      "Bearer tokens of at least 16 characters. Without any, the API is open to every program on this machine, but to no web page of another origin, and only loopback is allowed.",
    secret: true,
  }),
  APP_TOKEN_MAX_TTL: duration("24h", { group: HTTP, about: "The longest life of a token that is made for an app." }, 1000),
  HTTP_RATE_LIMIT: integer("120000", {
    group: HTTP,
    about: "Calls a minute of one token, or of one address where no token is asked for; more are answered with 429.",
  }),
  HTTP_FAILED_AUTH_LIMIT: integer("600", {
    group: HTTP,
    about: "Calls a minute of one address that may come without a token or with a wrong one, before they are answered with 429.",
  }),
  HTTP_REQUEST_TIMEOUT: duration("30s", { group: HTTP, about: "How long a caller may take to send a request." }, 1000),
  HTTP_MAX_BODY_SIZE: size("1MiB", { group: HTTP, about: "The largest body of a request; a larger one is answered with 413." }),
  HTTP_MAX_HEADER_SIZE: size("16KiB", { group: HTTP, about: "All headers of a request together; more is answered with 431." }, 1024),
  HTTP_MAX_HEADERS: integer("100", { group: HTTP, about: "Headers of a request; more are answered with 431." }, 10, 1000),
  HTTP_MAX_PAGE_SIZE: integer("1000", { group: HTTP, about: "Apps, installations or dead letters in one answer." }, 1, 10_000),
  ENCRYPTION_KEY: optional({
    parse: parseEncryptionKey,
    form: "`<key id>:<32 bytes, hex or base64>`",
    group: HTTP,
    about:
      "Encrypts client secrets, header values and webhook URLs in the registry (AES-256-GCM). Without it they are stored in the clear and the start warns. The key id is `1` when not given.",
    secret: true,
  }),
  ENCRYPTION_KEY_PREVIOUS: setting({
    parse: parseList(parseEncryptionKey),
    default: "",
    form: "keys, separated by commas",
    group: HTTP,
    about: "Keys that stored secrets may still be encrypted with, until `posthorn re-encrypt` has run.",
    secret: true,
  }),
  SECRET_OVERLAP: duration("24h", {
    group: HTTP,
    about: "How long webhooks carry the signatures of both secrets after a client secret was replaced.",
  }),
  APPS_FILE: optional({
    parse: String,
    form: "path",
    group: HTTP,
    about:
      "YAML with `apps` and `installations`, put into the registry at start. The file wins over what was changed since: docs/operations.md.",
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
  REQUEST_TIMEOUT: duration(
    "10s",
    {
      group: DELIVERY,
      about: "One deadline over connect, headers and body of an attempt; an app's `timeout_ms` replaces it.",
    },
    1,
    LONGEST_WAIT_MS,
  ),
  CONNECT_TIMEOUT: duration("3s", { group: DELIVERY, about: "Deadline of look-up, connect and TLS alone." }, 1, LONGEST_WAIT_MS),
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
    about: "What was first parked longer ago than this goes to dead letters when it is parked or waits there.",
  }),

  TARGET_ALLOW: setting<readonly string[]>({
    parse: parseTargets,
    default: "",
    form: "CIDRs and host names, separated by commas",
    group: TARGETS,
    about:
      "Networks, and hosts (`hooks.internal.example`, `*.internal.example`), that webhooks may go to although their addresses are not public.",
  }),
  TARGET_DENY: setting<readonly string[]>({
    parse: parseTargets,
    default: "",
    form: "CIDRs and host names, separated by commas",
    group: TARGETS,
    about: "Networks and hosts that webhooks may not go to. It wins over POSTHORN_TARGET_ALLOW.",
  }),
  TARGET_DNS_SERVERS: setting<readonly string[]>({
    parse: parseNameServers,
    default: "",
    form: "`<address>[:port]`, separated by commas",
    group: TARGETS,
    about:
      "Name servers that webhooks' hosts are looked up with, as they are written; those of resolv.conf, and its search list, unless set.",
  }),
  TARGET_SCHEMES: setting<ReadonlyArray<"http" | "https">>({
    parse: parseList(parseChoice(["http", "https"])),
    default: "http,https",
    form: "schemes, separated by commas",
    group: TARGETS,
    about: "Schemes of webhook URLs; `https` forbids unencrypted ones.",
    check: (schemes) => (schemes.length > 0 ? null : "wanted at least one"),
  }),
  TARGET_PORTS: setting({
    parse: parsePorts,
    default: "1-65535",
    form: "ports and ranges, separated by commas",
    group: TARGETS,
    about: "Ports that webhooks may go to, e.g. `443,8000-8999`.",
  }),
  TARGET_MAX_CONNECTIONS: integer("64", {
    group: TARGETS,
    about:
      "Connections of one process to one scheme, host and port, all apps together; what is beyond it waits half a second, and is parked then.",
  }),
  TARGET_TLS_MIN_VERSION: setting({
    parse: parseChoice(["TLSv1.2", "TLSv1.3"]),
    default: "TLSv1.2",
    form: "`TLSv1.2` or `TLSv1.3`",
    group: TARGETS,
    about: "The oldest TLS that is spoken with a webhook's receiver. Certificates are always verified.",
  }),
  TARGET_CA_FILE: certificateFile({
    group: TARGETS,
    about: "Authorities that receivers' certificates may be signed by beside the system's.",
  }),
  TARGET_PROXY: optional({
    parse: parseProxyUrl,
    form: "URL",
    group: TARGETS,
    about: "An HTTP proxy that webhooks go through (CONNECT). It resolves names: see what that means in docs/security.md.",
    secret: true,
  }),

  MAX_EVENT_SIZE: size("1MiB", {
    group: EVENTS,
    about:
      "An event's body. What the streams add has to fit too: with more than max_payload of the NATS server less 32 KiB that is the limit.",
  }),
  MAX_EVENT_HEADERS: integer("64", { group: EVENTS, about: "NATS headers of an event." }),
  MAX_EVENT_DEPTH: integer("64", { group: EVENTS, about: "Objects and arrays within each other in an event." }, 2, 1000),
  MAX_EVENT_KEYS: integer("50000", { group: EVENTS, about: "Keys of all objects in an event together." }, 2),

  MAX_ID_LENGTH: integer("256", { group: EVENTS, about: "Characters of an event's, an organization's or a project's id." }, 1, 4_096),

  MAX_NAME_LENGTH: integer("200", { group: RECORDS, about: "Characters of an app's name." }),
  MAX_URL_LENGTH: integer("2048", { group: RECORDS, about: "Characters of a webhook URL." }),
  MAX_APP_EVENTS: integer("100", { group: RECORDS, about: "Event patterns that one app subscribes to." }),
  MAX_APP_HEADERS: integer("50", { group: RECORDS, about: "Custom headers of one app." }, 0, 1_000),
  MAX_APP_HEADER_LENGTH: integer("4096", { group: RECORDS, about: "Characters of the value of a custom header." }),
  MAX_APP_RETRIES: integer("50", { group: RECORDS, about: "Delays in an app's `retry_schedule_s`." }, 0, 1_000),
  MAX_PROJECTS: integer("10000", { group: RECORDS, about: "Projects that one installation is narrowed to." }),

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
    parse: parseList(parseChoice(["fatal", "failing_days", "timeouts", "none"])),
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
    about:
      "What happens to the deliveries of a broken integration. With `deliver` its first success is its recovery, but for one that breaks again within POSTHORN_BROKEN_PROBE_INTERVAL after it was recovered: that recovers when it has been broken for as long.",
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
  LOG_FORMAT: setting({
    parse: parseChoice(["auto", "json", "pretty"]),
    default: "auto",
    form: "auto, json or pretty",
    group: PROCESS,
    about: "`json`: one JSON object a line. `pretty`: lines for people. `auto`: pretty when standard output is a terminal, JSON otherwise.",
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
