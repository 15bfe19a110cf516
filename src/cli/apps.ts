/** posthorn apps …: manages the registry's apps. */
import type { App, AppBody, AppPatch } from "../client/api-types.generated.ts";
import type { ApiClient } from "../client/create-api-client.ts";
import { formatDuration, parseDuration } from "../config/values.ts";
import { withMember } from "../model/json-text.ts";
import { type Command, choice, command, flag, list, type OptionValues, value } from "./command.ts";
import { conditionColumns } from "./condition-columns.ts";
import { CommandFailed, UsageError } from "./exit-codes.ts";
import { counted, milliseconds, outcomeStyle, responseCode } from "./format.ts";
import type { Output } from "./output.ts";
import { SCOPES_ABOUT, tokenOptions } from "./portal-link.ts";
import { installationUuid } from "./short-ids.ts";
import { take } from "./take.ts";
import { commaSeparated, eventData, header, orDefault, positive, rateLimit, rateText, seconds } from "./values.ts";

type RateLimit = NonNullable<AppBody["rate_limit"]>;

const members = {
  webhook: value("url", "The webhook URL."),
  name: value("name", "The display name."),
  events: value(
    "patterns",
    "Event types it subscribes to, separated by commas: issue,comment.created,metric_alert.* or *.",
    commaSeparated,
  ),
  status: choice(["internal", "unpublished", "published"], "The kind of app."),
  header: list("header", "Header sent with every webhook, e.g. 'X-Team: blue'.", header),
  timeout: value("duration", "Deadline of an attempt, e.g. 5s; 'default' for the service's.", orDefault(parseDuration)),
  retry: value("durations", "Delays before each retry, e.g. 5s,30s,5m; '' for none, 'default' for the service's.", orDefault(seconds)),
  "retry-on": value(
    "answers",
    "Answers that are retried, e.g. 404,429,5xx; '' for none, 'default' for those in docs/webhooks.md.",
    orDefault(commaSeparated),
  ),
  "max-in-flight": value("number", "Concurrent attempts; 'default' for the service's.", orDefault(positive)),
  "rate-limit": value("rate", "Attempts a second over all replicas, e.g. 20/s or 600/m; none for no limit.", rateLimit),
  burst: value("number", "Attempts at once after a quiet time, with --rate-limit; by default as many as in a second.", positive),
  ordered: flag("One delivery at a time, in the order of the events: short for --order-by app."),
  unordered: flag("Concurrent deliveries, in no particular order: short for --order-by none."),
  "order-by": value(
    "key",
    "Deliveries with the same key keep the order: none, app, installation, project, or a JSON Pointer such as /issue/id.",
  ),
  "on-exhausted": choice(
    ["continue", "stop"],
    "Whether the deliveries behind a dead letter of their key continue, or stop until it is replayed or deleted.",
  ),
} as const;

/** The options that are given, as members of the record. */
function given(options: OptionValues<typeof members>): Partial<AppBody> {
  const { webhook, name, events, status, header: headers, timeout, retry, "max-in-flight": maxInFlight, ordered, unordered } = options;
  const { "order-by": orderBy, "on-exhausted": onExhausted, "retry-on": retryOn } = options;
  if ([ordered, unordered, orderBy !== undefined].filter(Boolean).length > 1)
    throw new UsageError("--ordered, --unordered, --order-by: found more than one of them, wanted at most one");
  return {
    ...(webhook === undefined ? {} : { webhook_url: webhook }),
    ...(name === undefined ? {} : { name }),
    ...(events === undefined ? {} : { events }),
    ...(status === undefined ? {} : { status }),
    ...(headers.length === 0 ? {} : { headers: Object.fromEntries(headers) }),
    ...(timeout === undefined ? {} : { timeout_ms: timeout }),
    ...(retry === undefined ? {} : { retry_schedule_s: retry }),
    ...(retryOn === undefined ? {} : { retry_on: retryOn }),
    ...(maxInFlight === undefined ? {} : { max_in_flight: maxInFlight }),
    ...rateLimitOf(options),
    ...(ordered || unordered ? { order_by: ordered ? "app" : "none" } : {}),
    ...(orderBy === undefined ? {} : { order_by: orderBy }),
    ...(onExhausted === undefined ? {} : { on_exhausted: onExhausted }),
  };
}

/** A change may give one of the two: a merge patch keeps the other. */
function rateLimitOf({ "rate-limit": rate, burst }: OptionValues<typeof members>): Pick<AppBody, "rate_limit"> {
  if (rate === null && burst !== undefined) throw new UsageError("--burst: wanted with a --rate-limit other than none");
  if (rate === null) return { rate_limit: null };
  if (rate === undefined && burst === undefined) return {};
  return { rate_limit: { ...(rate === undefined ? {} : { per_s: rate }), ...(burst === undefined ? {} : { burst }) } as RateLimit };
}

function show(output: Output, app: App): void {
  output.facts([
    ["slug", app.slug],
    ["name", app.name],
    ["webhook", app.webhook_url],
    ["status", app.status],
    ["events", app.events.length === 0 ? "none" : app.events.join(", ")],
    ["headers", Object.keys(app.headers).join(", ") || null],
    ["timeout", app.timeout_ms === null ? null : formatDuration(app.timeout_ms)],
    [
      "retry",
      app.retry_schedule_s === null ? null : app.retry_schedule_s.map((delay) => formatDuration(delay * 1000)).join(", ") || "no retries",
    ],
    ["retry on", app.retry_on === null ? null : app.retry_on.join(", ") || "no answer"],
    ["max in flight", app.max_in_flight === null ? null : String(app.max_in_flight)],
    ["rate limit", app.rate_limit === null ? null : `${rateText(app.rate_limit.per_s)}, bursts of ${app.rate_limit.burst}`],
    ["ordered by", app.ordered ? app.order_by : null],
    ["on exhausted", app.ordered ? app.on_exhausted : null],
    ["created", output.time(app.created_at)],
    ["updated", output.time(app.updated_at)],
    ["invalid", app.invalid],
  ]);
}

function showSecrets(output: Output, secrets: { readonly client_secret: string; readonly webhook_secret: string }): void {
  output.facts([
    ["client secret", output.paint("bold", secrets.client_secret)],
    ["webhook secret", secrets.webhook_secret],
  ]);
  output.note("The secrets are shown only once.");
}

/** A merge patch would keep headers that are not given; here the given ones replace all, so the others are removed by name. */
async function replacing(api: ApiClient, slug: string, change: Partial<AppBody>): Promise<AppPatch> {
  if (change.headers === undefined) return change;
  const { body } = await api.call("GET /v1/apps/{slug}", { path: { slug } });
  const removed = Object.keys(body.headers).map((name) => [name, null] as const);
  return { ...change, headers: { ...Object.fromEntries(removed), ...change.headers } };
}

export const appCommands: readonly Command[] = [
  command({
    name: "apps list",
    summary: "Lists the apps, with those that fail, are throttled or wait.",
    examples: ["apps", "apps list --json"],
    async run({ api, output }) {
      const { rows: apps } = await take(api().items("GET /v1/apps"));
      // As JSON they are the records, which a backup keeps.
      if (output.json) {
        for (const app of apps) output.result(app, () => {});
        return;
      }
      const { body: overview } = await api().call("GET /v1/overview");
      const glances = new Map(overview.items.map((glance) => [glance.slug, glance]));
      const { state, why } = conditionColumns<App>(({ slug }) => glances.get(slug), output);
      output.table(
        [
          { title: "SLUG", cell: ({ slug }) => slug, style: () => "bold" },
          state,
          { title: "STATUS", cell: ({ status }) => status, isSpare: true },
          { title: "EVENTS", cell: ({ events }) => events.join(",") || "none" },
          { title: "WEBHOOK", cell: ({ webhook_url: url }) => url, isSpare: true },
          why,
        ],
        apps,
        "No apps yet: posthorn apps add",
      );
    },
  }),
  command({
    name: "apps get",
    summary: "Shows one app.",
    operands: ["<slug>"],
    examples: ["apps get acme-tracker"],
    async run({ api, output, operands: [slug = ""] }) {
      const { body } = await api().call("GET /v1/apps/{slug}", { path: { slug } });
      output.result(body, () => show(output, body));
    },
  }),
  command({
    name: "apps add",
    summary: "Creates an app and shows its secrets, only once.",
    operands: ["<slug>"],
    options: {
      ...members,
      "secret-from-env": flag("Uses the client secret in POSTHORN_CLIENT_SECRET, 64 hex digits, instead of generating one."),
      secret: value("hex", "The client secret on the command line, where every process list shows it."),
    },
    examples: ["apps add acme-tracker --webhook https://hooks.acme.example/sentry --events issue,metric_alert.*"],
    async run({ api, output, options, config, operands: [slug = ""] }) {
      const { webhook_url: url, ...rest } = given(options);
      if (url === undefined) throw new UsageError("apps add: --webhook is missing");
      const secret = options["secret-from-env"] ? config().clientSecret : options.secret;
      if (secret === null) throw new UsageError("apps add --secret-from-env: POSTHORN_CLIENT_SECRET is not set");
      const body = { ...rest, webhook_url: url, ...(secret === undefined ? {} : { client_secret: secret }) };
      // Never replaces an existing app by mistake.
      const made = await api().call("PUT /v1/apps/{slug}", { path: { slug }, body, headers: { "if-none-match": "*" } });
      output.result(made.body, () => {
        show(output, made.body);
        if ("client_secret" in made.body) showSecrets(output, made.body);
      });
    },
  }),
  command({
    name: "apps set",
    summary: "Changes the given settings of an app and keeps the others.",
    operands: ["<slug>"],
    options: members,
    details: "Given events and headers replace all existing ones.",
    examples: ["apps set acme-tracker --events '*' --timeout 5s"],
    async run({ api, output, options, operands: [slug = ""] }) {
      const change = given(options);
      if (Object.keys(change).length === 0) throw new UsageError("apps set: nothing to change was given");
      const { body: changed } = await api().call("PATCH /v1/apps/{slug}", { path: { slug }, body: await replacing(api(), slug, change) });
      output.result(changed, () => show(output, changed));
    },
  }),
  command({
    name: "apps delete",
    summary: "Removes an app and its installations; waiting deliveries go to dead letters.",
    operands: ["<slug>"],
    options: { yes: flag("Skip the confirmation.") },
    examples: ["apps delete acme-tracker --yes"],
    async run({ api, output, options, operands: [slug = ""] }) {
      const { etag } = await api().call("GET /v1/apps/{slug}", { path: { slug } });
      const { rows: installations } = await take(api().items("GET /v1/installations", { query: { app: slug } }));
      const what = `app ${slug} and its ${counted(installations.length, "installation")}`;
      if (!options.yes) throw new UsageError(`apps delete: this removes ${what}; confirm with --yes`);
      await api().call("DELETE /v1/apps/{slug}", { path: { slug }, headers: { "if-match": etag ?? "*" } });
      output.result({ slug, deleted: true }, () => output.line(`Removed ${what}.`));
    },
  }),
  command({
    name: "apps rotate-secret",
    summary: "Replaces the client secret; webhooks carry both signatures for a day.",
    operands: ["<slug>"],
    examples: ["apps rotate-secret acme-tracker"],
    async run({ api, output, operands: [slug = ""] }) {
      const { body } = await api().call("POST /v1/apps/{slug}/secret/rotate", { path: { slug } });
      output.result(body, () => {
        showSecrets(output, body);
        output.note(`The previous secret is valid until ${output.time(body.previous_valid_until)}.`);
      });
    },
  }),
  command({
    name: "apps retry-now",
    summary: "Makes all deliveries of an app that wait for a retry due now.",
    operands: ["<slug>"],
    details: "Deliveries that wait for the app's circuit stay parked: apps close-circuit.",
    examples: ["apps retry-now acme-tracker"],
    async run({ api, output, operands: [slug = ""] }) {
      const { body } = await api().call("POST /v1/apps/{slug}/retry-now", { path: { slug } });
      output.result(body, () => output.line(`${counted(body.deliveries, "delivery", "deliveries")} due now.`));
    },
  }),
  command({
    name: "apps close-circuit",
    summary: "Closes an app's circuit: its parked deliveries are attempted now.",
    operands: ["<slug>"],
    details: "The circuit opens again if they fail.",
    examples: ["apps close-circuit acme-tracker"],
    async run({ api, output, operands: [slug = ""] }) {
      const { body } = await api().call("POST /v1/apps/{slug}/circuit/close", { path: { slug } });
      output.result(body, () => output.line(`The circuit of ${slug} is ${body.circuit}.`));
    },
  }),
  command({
    name: "apps token",
    summary: "Creates a short-lived token for the app's developer, shown only once.",
    operands: ["<slug>"],
    options: tokenOptions,
    details: SCOPES_ABOUT,
    examples: ["apps token acme-tracker --ttl 8h", "apps token acme-tracker --scope manage --name robin"],
    async run({ api, output, options: { scope = "act", ttl, name }, operands: [slug = ""] }) {
      const body = { scope, ttl_s: ttl, name };
      const { body: made } = await api().call("POST /v1/apps/{slug}/tokens", { path: { slug }, body });
      output.result(made, () => {
        output.facts([
          ["token", output.paint("bold", made.token)],
          ["scope", made.scope],
          ["valid until", output.time(made.expires_at)],
        ]);
        output.note("It is shown only once, and expires early when the client secret is replaced.");
      });
    },
  }),
  command({
    name: "apps test",
    summary: "Sends a test event to the app now and shows the result.",
    operands: ["<slug>"],
    options: {
      type: value("type", "The event's type; test.ping by default."),
      installation: value("uuid", "The installation to send it for; any of the app's by default."),
      data: value("json", "The event's data, or a webhook payload that contains it: a JSON object, @file, or - for standard input."),
    },
    examples: ["apps test acme-tracker", "apps test acme-tracker --type issue.created --data @examples/payloads/issue.created.json"],
    async run({ api, output, options, readInput, operands: [slug = ""] }) {
      const { type, data } = options;
      const installation = await installationUuid(api, options.installation);
      const head = JSON.stringify({ event_type: type, installation_uuid: installation });
      // As text, so that numbers and key order reach the receiver unchanged.
      const text = data === undefined ? head : withMember(head, "data", await eventData("data", data, readInput));
      const body = text as unknown as { readonly event_type: string };
      const { body: attempt } = await api().call("POST /v1/apps/{slug}/test", { path: { slug }, body });
      output.result(attempt, () =>
        output.facts([
          ["outcome", output.paint(outcomeStyle(attempt.outcome), attempt.outcome)],
          ["response", responseCode(attempt.response_code)],
          ["took", milliseconds(attempt.duration_ms)],
          ["webhook", attempt.webhook_url],
          ["delivery", attempt.delivery_id],
          ["error", attempt.error],
        ]),
      );
      if (attempt.outcome !== "delivered") throw new CommandFailed(`the test event was not delivered (${attempt.outcome})`);
    },
  }),
];
