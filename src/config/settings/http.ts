/** The HTTP API and the registry behind it. */
import { duration, integer, optional, setting, size } from "../setting.ts";
import { type ApiToken, parseApiTokens, parseEncryptionKey, parseList, parseMatching, parseReadablePath, parseUrl } from "../values.ts";

const HTTP = "HTTP API";

export const HTTP_SETTINGS = {
  HTTP_HOST: setting({
    parse: parseMatching(/^[A-Za-z0-9.:_-]+$/, "a host name or an address"),
    default: "127.0.0.1",
    form: "address",
    group: HTTP,
    about: "Address that the API listens on. An address beyond loopback requires API_TOKENS.",
  }),
  HTTP_PORT: integer("8080", { group: HTTP, about: "The API's port; 0 chooses a free one, which the log shows." }, 0, 65535),
  API_TOKENS: setting<readonly ApiToken[]>({
    parse: parseApiTokens,
    default: "",
    form: "`admin:<token>`, `admin:<name>:<token>` or the same with `read`, separated by commas",
    group: HTTP,
    about:
      "Bearer tokens of at least 16 characters. The audit log has the name. Without tokens the API listens on loopback only and is open to every program on this machine, but not to web pages of other origins.",
    secret: true,
  }),
  APP_TOKEN_MAX_TTL: duration("24h", { group: HTTP, about: "Longest lifetime of an app's token." }, 1000),
  HTTP_RATE_LIMIT: integer("120000", {
    group: HTTP,
    about: "Calls per minute of one token, or of one address if no tokens are configured; more get 429.",
  }),
  HTTP_FAILED_AUTH_LIMIT: integer("600", {
    group: HTTP,
    about: "Calls per minute of one address with a missing or wrong token; more get 429.",
  }),
  HTTP_REQUEST_TIMEOUT: duration("30s", { group: HTTP, about: "How long a caller may take to send a request." }, 1000),
  HTTP_MAX_BODY_SIZE: size("1MiB", { group: HTTP, about: "Largest body of a request; a larger one gets 413." }),
  HTTP_MAX_HEADER_SIZE: size("16KiB", { group: HTTP, about: "Total size of a request's headers; more gets 431." }, 1024),
  HTTP_MAX_HEADERS: integer("100", { group: HTTP, about: "Number of a request's headers; more gets 431." }, 10, 1000),
  HTTP_MAX_PAGE_SIZE: integer("1000", { group: HTTP, about: "Apps, installations or dead letters in one response." }, 1, 1_000),
  ENCRYPTION_KEY: optional({
    parse: parseEncryptionKey,
    form: "`<key id>:<32 bytes, hex or base64>`",
    group: HTTP,
    about:
      "Encrypts client secrets, header values and webhook URLs in the registry (AES-256-GCM). Without it they are stored in the clear and a start logs a warning. The default key id is `1`.",
    secret: true,
  }),
  ENCRYPTION_KEY_PREVIOUS: setting({
    parse: parseList(parseEncryptionKey),
    default: "",
    form: "keys, separated by commas",
    group: HTTP,
    about: "Earlier keys that still decrypt stored secrets, until `posthorn re-encrypt` has run.",
    secret: true,
  }),
  SECRET_OVERLAP: duration("24h", {
    group: HTTP,
    about: "How long webhooks carry the signatures of both secrets after a rotation.",
  }),
  APPS_FILE: optional({
    parse: parseReadablePath,
    form: "path",
    group: HTTP,
    about:
      "YAML with `apps` and `installations`, put into the registry at every start. The file overwrites changes made since: docs/operations.md.",
  }),
  DASHBOARD_URL: optional({
    parse: parseUrl(["http", "https"]),
    form: "URL",
    group: HTTP,
    about: "Public URL of the dashboard; `dashboard_url` in status events begins with it.",
  }),
  TRACE_URL: optional({
    parse: parseMatching(/^https?:\/\/\S*\{trace_id\}\S*$/, "an http or https URL with {trace_id} in it"),
    form: "URL with `{trace_id}`",
    group: HTTP,
    about: "Template for the dashboard's links to traces, such as `https://jaeger.example/trace/{trace_id}`.",
  }),
} as const;
