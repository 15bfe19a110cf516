/** The Grafana dashboards over the metrics: what each panel asks. The JSON that Grafana wants is made from it. */
import type { MetricName } from "../src/telemetry/metric-table.ts";

type Unit = "short" | "s" | "percentunit" | "reqps" | "bytes" | "dtdurations";

interface Query {
  readonly expr: string;
  readonly legend?: string;
}

interface Panel {
  readonly title: string;
  readonly about?: string;
  /** One number, or the course of time. */
  readonly kind: "stat" | "graph" | "text" | "traces";
  readonly unit?: Unit;
  readonly stacked?: boolean;
  readonly queries?: readonly Query[];
  readonly text?: string;
}

interface Dashboard {
  readonly uid: string;
  readonly title: string;
  readonly about: string;
  /** A variable `$app`. */
  readonly byApp?: boolean;
  readonly panels: readonly Panel[];
}

const PROMETHEUS = { type: "prometheus", uid: "$datasource" };
const JAEGER = { type: "jaeger", uid: "jaeger" };
const WINDOW = "$__rate_interval";

const rate = (metric: MetricName | `${MetricName}_count`, selector = "", by = ""): string =>
  `sum${by === "" ? "" : ` by (${by})`} (rate(${metric}${selector}[${WINDOW}]))`;

const quantile = (of: number, metric: MetricName, selector = ""): string =>
  `histogram_quantile(${of}, sum by (le) (rate(${metric}_bucket${selector}[${WINDOW}])))`;

const quantiles = (metric: MetricName, selector = ""): Query[] =>
  [0.5, 0.95, 0.99].map((of) => ({ expr: quantile(of, metric, selector), legend: `p${of * 100}` }));

/** Every replica reads the same streams: one value is shown. */
const max = (metric: MetricName, by = ""): string => `max${by === "" ? "" : ` by (${by})`} (${metric})`;

const stat = (title: string, expr: string, unit: Unit = "short", about?: string): Panel => ({
  ...{ title, kind: "stat", unit, queries: [{ expr }] },
  ...(about === undefined ? {} : { about }),
});

const graph = (title: string, unit: Unit, queries: readonly Query[], more: Partial<Panel> = {}): Panel => ({
  ...{ title, kind: "graph", unit, queries },
  ...more,
});

export const DASHBOARDS: readonly Dashboard[] = [
  {
    uid: "posthorn-service",
    title: "Posthorn: service",
    about: "Whether deliveries flow, how fast, and what the replicas do.",
    panels: [
      stat("Replicas ready", "sum(posthorn_ready)"),
      stat("Delivered a second", rate("posthorn_attempts_total", '{outcome="delivered"}'), "reqps"),
      stat(
        "Delivered of all attempts",
        `${rate("posthorn_attempts_total", '{outcome="delivered"}')} / ${rate("posthorn_attempts_total")}`,
        "percentunit",
      ),
      stat("First attempt after the event, p99", quantile(0.99, "posthorn_delivery_age_seconds", '{attempt="first"}'), "s"),
      stat("Events waiting", max("posthorn_events_pending")),
      stat("Given up in 24 h", "sum(increase(posthorn_dead_letters_total[24h]))"),
      stat("Integrations broken", 'max(posthorn_integrations{status="broken"})'),
      stat("Apps failing", "sum(max by (app) (posthorn_app_failing))"),
      stat("Circuits open", 'max(posthorn_circuits{state="open"})'),
      graph("Attempts by outcome", "reqps", [{ expr: rate("posthorn_attempts_total", "", "outcome"), legend: "{{outcome}}" }], {
        stacked: true,
      }),
      graph("Events by what came of them", "reqps", [{ expr: rate("posthorn_events_total", "", "result"), legend: "{{result}}" }], {
        stacked: true,
      }),
      graph("First attempt after the event", "s", quantiles("posthorn_delivery_age_seconds", '{attempt="first"}'), {
        about:
          "From the arrival in the events stream to the delivery, for deliveries that succeeded at the first attempt and never parked.",
      }),
      graph("Time of an attempt", "s", quantiles("posthorn_attempt_duration_seconds"), { about: "How long receivers take." }),
      graph("In flight and waiting for a place", "short", [
        { expr: "sum(posthorn_in_flight)", legend: "in flight" },
        { expr: "sum(posthorn_waiting)", legend: "waiting" },
        { expr: "sum by (stream) (posthorn_messages_in_hand)", legend: "held, {{stream}}" },
      ]),
      graph("Off the fast path", "reqps", [
        { expr: rate("posthorn_deliveries_stored_total", "", "stream"), legend: "to {{stream}}" },
        { expr: rate("posthorn_deliveries_skipped_total"), legend: "skipped, done before" },
      ]),
      graph("Integrations and circuits", "short", [
        { expr: max("posthorn_integrations", "status"), legend: "{{status}}" },
        { expr: max("posthorn_circuits", "state"), legend: "circuit {{state}}" },
      ]),
      graph("Registry", "short", [
        { expr: max("posthorn_registry_apps"), legend: "apps" },
        { expr: max("posthorn_registry_installations"), legend: "installations" },
        { expr: "min(posthorn_registry_current)", legend: "current" },
        { expr: "sum(posthorn_destinations)", legend: "destinations connected" },
      ]),
      graph("Request log", "short", [
        { expr: "sum(posthorn_log_buffered)", legend: "buffered" },
        { expr: "sum(posthorn_log_notes_buffered)", legend: "notes buffered" },
        { expr: `sum(increase(posthorn_log_dropped_total[${WINDOW}]))`, legend: "dropped" },
      ]),
      graph("Connections", "short", [
        { expr: "posthorn_dependency_up", legend: "{{dependency}} {{instance}}" },
        { expr: "max by (instance) (posthorn_stream_refusing)", legend: "a stream refuses {{instance}}" },
      ]),
      graph("Event loop delay, p99", "s", [{ expr: "posthorn_event_loop_delay_seconds", legend: "{{instance}}" }]),
      graph("CPU", "percentunit", [{ expr: `rate(process_cpu_seconds_total{job="posthorn"}[${WINDOW}])`, legend: "{{instance}}" }]),
      graph("Resident memory", "bytes", [{ expr: 'process_resident_memory_bytes{job="posthorn"}', legend: "{{instance}}" }]),
      graph("Clock skew to NATS", "s", [{ expr: "posthorn_clock_skew_seconds", legend: "{{instance}}" }]),
      graph("Up since, and version", "dtdurations", [
        { expr: 'time() - process_start_time_seconds{job="posthorn"}', legend: "{{instance}}" },
        { expr: "posthorn_build_info", legend: "{{version}} {{instance}}" },
      ]),
    ],
  },
  {
    uid: "posthorn-app",
    title: "Posthorn: app",
    about: "One app: its attempts, what waits for it, its traces. Apps beyond POSTHORN_METRICS_APPS are counted together as _other.",
    byApp: true,
    panels: [
      stat("Attempts a second", rate("posthorn_app_attempts_total", '{app="$app"}'), "reqps"),
      stat(
        "Delivered of all attempts",
        `${rate("posthorn_app_attempts_total", '{app="$app",outcome="delivered"}')} / ${rate("posthorn_app_attempts_total", '{app="$app"}')}`,
        "percentunit",
      ),
      stat(
        "Mean time of an attempt",
        `${rate("posthorn_app_attempt_seconds_total", '{app="$app"}')} / ${rate("posthorn_app_attempts_total", '{app="$app"}')}`,
        "s",
      ),
      stat("Parked", 'max(posthorn_parked_messages{app="$app"})'),
      graph(
        "Attempts by outcome",
        "reqps",
        [{ expr: rate("posthorn_app_attempts_total", '{app="$app"}', "outcome"), legend: "{{outcome}}" }],
        {
          stacked: true,
        },
      ),
      graph("Mean time of an attempt", "s", [
        {
          expr: `${rate("posthorn_app_attempt_seconds_total", '{app="$app"}')} / ${rate("posthorn_app_attempts_total", '{app="$app"}')}`,
          legend: "$app",
        },
      ]),
      graph("Parked deliveries", "short", [{ expr: 'max(posthorn_parked_messages{app="$app"})', legend: "$app" }]),
      graph("Age of the oldest parked delivery", "dtdurations", [
        { expr: 'max(posthorn_parked_oldest_age_seconds{app="$app"})', legend: "$app" },
      ]),
      {
        title: "Ask about single deliveries",
        kind: "text",
        text: [
          "`GET /v1/apps/$app/webhook-requests?errors_only=true`: the last failed attempts, with what came back.",
          "`GET /v1/deliveries/<webhook-id>`: what became of a delivery, and when its next attempt is due.",
          "`GET /v1/events/<event id>`: who wanted an event, who did not and why.",
          "`PUT /v1/apps/$app/debug-log`: log this app's deliveries in detail for a while.",
        ].join("\n\n"),
      },
      { title: "Traces with a failed attempt", kind: "traces" },
    ],
  },
  {
    uid: "posthorn-streams",
    title: "Posthorn: streams",
    about: "What waits where: events, retries by tier, parked by app, dead letters.",
    panels: [
      stat("Events waiting", max("posthorn_events_pending")),
      stat("Retries waiting", 'max(posthorn_stream_messages{stream="retries"})'),
      stat("Parked", 'max(posthorn_stream_messages{stream="parked"})'),
      stat("Dead letters", 'max(posthorn_stream_messages{stream="dead-letters"})'),
      graph("Events: the consumer's lag", "short", [
        { expr: max("posthorn_events_pending"), legend: "not handed out" },
        { expr: max("posthorn_events_ack_pending"), legend: "not acknowledged" },
      ]),
      graph("Age of the oldest unacknowledged event", "s", [
        { expr: max("posthorn_events_oldest_unacked_age_seconds"), legend: "age" },
        { expr: max("posthorn_events_overdue"), legend: "1: over half of what the stream keeps" },
      ]),
      graph("Retries by tier", "short", [{ expr: max("posthorn_retries_messages", "tier"), legend: "{{tier}} s" }], { stacked: true }),
      graph("The most overdue retry", "s", [{ expr: max("posthorn_retries_late_seconds"), legend: "late" }]),
      graph("Parked by app", "short", [{ expr: max("posthorn_parked_messages", "app"), legend: "{{app}}" }], { stacked: true }),
      graph("Age of the oldest parked delivery", "dtdurations", [
        { expr: max("posthorn_parked_oldest_age_seconds", "app"), legend: "{{app}}" },
      ]),
      graph("From event to delivery, of what was parked", "dtdurations", quantiles("posthorn_delivery_age_seconds", '{attempt="parked"}')),
      graph("From event to delivery, of retries", "dtdurations", quantiles("posthorn_delivery_age_seconds", '{attempt="later"}'), {
        about: "Resends and replays are among them.",
      }),
      graph("Depth of the streams", "short", [{ expr: max("posthorn_stream_messages", "stream"), legend: "{{stream}}" }]),
      graph("Age of the oldest message", "dtdurations", [
        { expr: max("posthorn_stream_oldest_age_seconds", "stream"), legend: "{{stream}}" },
      ]),
      graph(
        "Dead letters by reason",
        "short",
        [{ expr: `sum by (reason) (increase(posthorn_dead_letters_total[${WINDOW}]))`, legend: "{{reason}}" }],
        { stacked: true },
      ),
      graph("Being stored, acknowledged, and refused", "short", [
        { expr: "sum(posthorn_publishes_pending)", legend: "being stored" },
        { expr: "sum(posthorn_publishes_waiting)", legend: "waiting to be stored" },
        { expr: "sum(posthorn_acks_unconfirmed)", legend: "acknowledgements unconfirmed" },
        { expr: "sum by (stream) (posthorn_stream_refusing)", legend: "replicas that {{stream}} refuses" },
        { expr: max("posthorn_parked_queues"), legend: "parked queues" },
      ]),
    ],
  },
];

const COLUMNS = 24;
const STAT = { w: 3, h: 4 };
const WIDE_STAT = { w: 6, h: 4 };
const GRAPH = { w: 12, h: 8 };

/** As Grafana's provisioning reads it. */
export function dashboardJson({ uid, title, about, byApp = false, panels }: Dashboard): string {
  const stats = panels.filter(({ kind }) => kind === "stat").length;
  let x = 0;
  let y = 0;
  let rowHeight = 0;
  const placed = panels.map((panel, at) => {
    const size = panel.kind === "stat" ? (stats > 4 ? STAT : WIDE_STAT) : GRAPH;
    if (x + size.w > COLUMNS || (rowHeight !== 0 && rowHeight !== size.h)) {
      x = 0;
      y += rowHeight;
    }
    rowHeight = size.h;
    const gridPos = { ...size, x, y };
    x += size.w;
    return { id: at + 1, gridPos, ...panelJson(panel) };
  });
  const dashboard = {
    uid,
    title,
    description: about,
    tags: ["posthorn"],
    schemaVersion: 39,
    editable: true,
    refresh: "30s",
    time: { from: "now-3h", to: "now" },
    links: [{ type: "dashboards", title: "Posthorn", tags: ["posthorn"], asDropdown: false, includeVars: true, keepTime: true }],
    templating: { list: [DATASOURCE_VARIABLE, ...(byApp ? [APP_VARIABLE] : [])] },
    panels: placed,
  };
  return `${JSON.stringify(dashboard, null, 2)}\n`;
}

const DATASOURCE_VARIABLE = { name: "datasource", label: "Prometheus", type: "datasource", query: "prometheus" };
const APP_VARIABLE = {
  name: "app",
  label: "App",
  type: "query",
  datasource: PROMETHEUS,
  query: { query: "label_values(posthorn_app_attempts_total, app)", refId: "apps" },
  refresh: 2,
  sort: 1,
};

function panelJson({ title, about, kind, unit = "short", stacked = false, queries = [], text = "" }: Panel): object {
  const head = { title, ...(about === undefined ? {} : { description: about }) };
  if (kind === "text") return { ...head, type: "text", options: { mode: "markdown", content: text } };
  if (kind === "traces") {
    const tags = "posthorn.app=$app error=true";
    return {
      ...head,
      type: "table",
      datasource: JAEGER,
      targets: [{ refId: "A", queryType: "search", service: "posthorn", tags, limit: 20 }],
    };
  }
  const targets = queries.map(({ expr, legend = "" }, at) => ({
    ...{ refId: String.fromCharCode(65 + at), datasource: PROMETHEUS, expr, legendFormat: legend },
  }));
  const data = { ...head, datasource: PROMETHEUS, targets };
  if (kind === "stat") return { ...data, type: "stat", fieldConfig: { defaults: { unit }, overrides: [] }, options: { graphMode: "area" } };
  const custom = { fillOpacity: stacked ? 40 : 10, stacking: { mode: stacked ? "normal" : "none" } };
  return { ...data, type: "timeseries", fieldConfig: { defaults: { unit, min: 0, custom }, overrides: [] } };
}
