/** Metrics as they leave a running Posthorn, by scrape and by OTLP: the same numbers, all from the table. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { METRICS, type MetricDefinition } from "../../src/telemetry/metric-table.ts";
import { eventually } from "../support/eventually.ts";
import { type ExportedPoint, type OtlpCollector, startOtlpCollector } from "../support/otlp-collector.ts";
import { type Bus, connectBus, type PosthornProcess, startPosthorn } from "../support/posthorn.ts";
import { answer, type Receiver, startReceiver } from "../support/receiver.ts";
import { type Server, startNatsServer, startRedisServer } from "../support/servers.ts";

let nats: Server;
let redis: Server;
let collector: OtlpCollector;
let good: Receiver;
let bad: Receiver;
let posthorn: PosthornProcess;
let bus: Bus;

beforeAll(async () => {
  [nats, redis, collector, good, bad] = await Promise.all([
    startNatsServer(),
    startRedisServer(),
    startOtlpCollector(),
    startReceiver(),
    startReceiver(answer(503)),
  ]);
  posthorn = await startPosthorn({
    nats,
    redis,
    settings: {
      OTEL_EXPORTER_OTLP_METRICS_ENDPOINT: `${collector.url}/v1/metrics`,
      OTEL_METRIC_EXPORT_INTERVAL: "250",
      OTEL_METRIC_EXPORT_TIMEOUT: "100",
      POSTHORN_METRICS_APPS: "1",
    },
  });
  bus = await connectBus(nats, posthorn.prefix);
});
afterAll(async () => {
  await bus.close();
  await posthorn.end();
  await Promise.all([nats.stop(), redis.stop(), collector.stop(), good.stop(), bad.stop()]);
});

const definitions: Readonly<Record<string, MetricDefinition>> = METRICS;
const scrape = async (): Promise<string> => (await posthorn.api("GET", "/metrics")).body as string;
/** The value of a series in a scrape. */
const scraped = async (series: string): Promise<number> => {
  const line = (await scrape()).split("\n").find((text) => text.startsWith(`${series} `));
  if (line === undefined) throw new Error(`no ${series}`);
  return Number(line.slice(series.length + 1));
};
const point = (name: string, attributes: Record<string, string> = {}): ExportedPoint => {
  const found = collector.metrics.get(name)?.points.find((of) => JSON.stringify(of.attributes) === JSON.stringify(attributes));
  if (found === undefined) throw new Error(`no ${name} with ${JSON.stringify(attributes)}`);
  return found;
};
const exported = (name: string, attributes?: Record<string, string>): number => {
  const { asInt, asDouble } = point(name, attributes);
  return Number(asInt ?? asDouble);
};

test("a run is counted alike for a scrape and for OTLP, with streams, circuits and integrations", async () => {
  const delivered = await posthorn.install({ slug: "first", webhook_url: good.url, events: ["issue"] });
  const retried = await posthorn.install({ webhook_url: bad.url, retry_schedule_s: [3_000], events: ["issue"] });
  const parked = await posthorn.install({ slug: "waiting", webhook_url: good.url, events: ["comment"] });
  await posthorn.api("POST", `/v1/installations/${parked.uuid}/disable`);
  await bus.publish("issue.created", { organization_id: "42", data: {}, installation_uuid: delivered.uuid });
  await good.waitFor(1);
  await bus.publish("issue.created", { organization_id: "42", data: {}, installation_uuid: retried.uuid });
  await bus.publish("comment.created", { organization_id: "42", data: {} });
  await bus.publish("error.created", { organization_id: "42", data: {} });
  await bus.publish("issue.created", "{");

  // The streams' figures are asked for every few seconds.
  await eventually(async () => (await scraped('posthorn_parked_messages{app="waiting"}')) === 1);
  const expected: Array<[name: string, labels: Record<string, string>, value: number]> = [
    ["posthorn_events_total", { result: "matched" }, 3],
    ["posthorn_events_total", { result: "unmatched" }, 1],
    ["posthorn_events_total", { result: "unreadable" }, 1],
    ["posthorn_attempts_total", { outcome: "delivered" }, 1],
    ["posthorn_attempts_total", { outcome: "failed" }, 1],
    ["posthorn_app_attempts_total", { app: "first", outcome: "delivered" }, 1],
    ["posthorn_app_attempts_total", { app: "_other", outcome: "failed" }, 1],
    ["posthorn_deliveries_stored_total", { stream: "retries" }, 1],
    ["posthorn_deliveries_stored_total", { stream: "parked" }, 1],
    ["posthorn_dead_letters_total", { reason: "invalid" }, 1],
    ["posthorn_stream_messages", { stream: "retries" }, 1],
    ["posthorn_stream_messages", { stream: "parked" }, 1],
    ["posthorn_stream_messages", { stream: "dead-letters" }, 1],
    ["posthorn_retries_messages", { tier: "2048" }, 1],
    ["posthorn_retries_messages", { tier: "1" }, 0],
    ["posthorn_parked_messages", { app: "_other" }, 0],
    ["posthorn_events_pending", {}, 0],
    ["posthorn_integrations", { status: "active" }, 2],
    ["posthorn_integrations", { status: "disabled" }, 1],
    ["posthorn_circuits", { state: "open" }, 0],
    ["posthorn_registry_apps", {}, 3],
    ["posthorn_registry_installations", {}, 3],
    ["posthorn_ready", {}, 1],
    ["posthorn_dependency_up", { dependency: "redis" }, 1],
    ["posthorn_log_buffered", {}, 0],
  ];
  for (const [name, labels, value] of expected) {
    const text = Object.entries(labels).map(([label, of]) => `${label}="${of}"`);
    await eventually(async () => {
      const found = [await scraped(text.length === 0 ? name : `${name}{${text.join(",")}}`), exported(name, labels)];
      if (found.some((other) => other !== value)) throw new Error(`${name} ${text}: found ${found}, wanted ${value}`);
      return true;
    });
  }
  const age = point("posthorn_delivery_age_seconds", { attempt: "first" });
  expect([Number(age.count), age.explicitBounds?.length]).toEqual([1, 16]);
  expect(await scraped('posthorn_delivery_age_seconds_count{attempt="first"}')).toBe(1);
  expect(Number(point("posthorn_attempt_duration_seconds").count)).toBe(2);
  expect(exported("posthorn_parked_oldest_age_seconds", { app: "waiting" })).toBeGreaterThan(0);
});

test("settings choose the temporality of counters and histograms, and the instance in the resource", async () => {
  const aside = await startOtlpCollector();
  const delta = await startPosthorn({
    nats,
    redis,
    settings: {
      OTEL_EXPORTER_OTLP_METRICS_ENDPOINT: `${aside.url}/v1/metrics`,
      OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE: "delta",
      OTEL_METRIC_EXPORT_INTERVAL: "100",
      OTEL_RESOURCE_ATTRIBUTES: "service.instance.id=pod-7",
    },
  });
  const { uuid } = await delta.install({ webhook_url: good.url });
  await delta.api("POST", "/v1/events", { type: "issue.created", organization_id: "42", data: {}, installation_uuid: uuid });
  const temporalityOf = (name: string) => aside.metrics.get(name)?.temporality;
  await eventually(() => temporalityOf("posthorn_attempt_duration_seconds") === "delta");
  expect(temporalityOf("posthorn_attempts_total")).toBe("delta");
  expect(temporalityOf("posthorn_in_flight")).toBeNull();
  expect(new Set(aside.resources.map((resource) => resource["service.instance.id"]))).toEqual(new Set(["pod-7"]));
  await delta.end();
  await aside.stop();
});

test("every metric of the table is there both ways, as what the table says it is", async () => {
  const text = await scrape();
  const types = new Map([...text.matchAll(/^# TYPE (\S+) (\S+)$/gm)].map(([, name, type]) => [name, type]));
  expect([...types].sort()).toEqual(
    Object.entries(definitions)
      .map(([name, { kind }]) => [name, kind])
      .sort(),
  );
  await eventually(() => collector.metrics.size >= types.size);
  for (const [name, { kind, help, unit = "" }] of Object.entries(definitions)) {
    expect(collector.metrics.get(name)).toMatchObject({
      ...{ description: help, unit, kind: kind === "counter" ? "sum" : kind, isMonotonic: kind === "counter" },
    });
  }
  expect(collector.resources[0]).toMatchObject({
    "service.name": "posthorn",
    "service.instance.id": expect.stringMatching(/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/),
  });
  expect(collector.spans).toEqual([]);
});

test("a collector that is not there is said in the log, and deliveries continue", async () => {
  const alone = await startPosthorn({
    nats,
    redis,
    settings: {
      OTEL_EXPORTER_OTLP_ENDPOINT: "http://127.0.0.1:9",
      OTEL_EXPORTER_OTLP_PROTOCOL: "grpc",
      OTEL_BSP_SCHEDULE_DELAY: "50",
      OTEL_METRIC_EXPORT_INTERVAL: "100",
      OTEL_METRIC_EXPORT_TIMEOUT: "100",
    },
  });
  const aside = await connectBus(nats, alone.prefix);
  const receiver = await startReceiver();
  await alone.install({ webhook_url: receiver.url });
  for (let i = 0; i < 5; i++) await aside.publish("issue.created", { organization_id: "42", data: {} });
  await receiver.waitFor(5);
  await eventually(() => alone.log.some(({ message }) => message === "OpenTelemetry problem"));
  expect(alone.log.filter(({ setting }) => setting !== undefined)).toMatchObject([
    { setting: "OTEL_EXPORTER_OTLP_PROTOCOL", found: "grpc" },
  ]);
  expect(alone.log.filter(({ level }) => level === "error")).toEqual([]);
  await alone.end("SIGKILL");
  await Promise.all([aside.close(), receiver.stop()]);
});

test("the series of single apps are as many as the setting allows", async () => {
  for (let i = 0; i < 5; i++) await posthorn.install({ slug: `many-${i}`, webhook_url: good.url, events: ["release"] });
  await bus.publish("release.created", { organization_id: "42", data: {} });
  await good.waitFor(6);
  await eventually(async () => (await scraped('posthorn_app_attempts_total{app="_other",outcome="delivered"}')) === 5);
  const apps = new Set([...(await scrape()).matchAll(/posthorn_app_attempts_total\{app="([^"]+)"/g)].map(([, app]) => app));
  expect([...apps].sort()).toEqual(["_other", "first"]);
});

test("what has drained is exported no more, by scrape and by OTLP", async () => {
  const apps = await Promise.all(
    [0, 1].map((of) => posthorn.install({ slug: `drained-${of}`, webhook_url: good.url, organization_id: `drained-${of}` })),
  );
  const names = ["posthorn_parked_messages", "posthorn_parked_oldest_age_seconds"];
  const series = async (): Promise<string[]> => {
    const text = await scrape();
    return apps.flatMap(({ slug }) =>
      names.flatMap((name) => [
        ...(text.includes(`${name}{app="${slug}"} `) ? [`${name} of ${slug} in the scrape`] : []),
        ...(collector.metrics.get(name)?.points.some(({ attributes }) => attributes["app"] === slug) ? [`${name} of ${slug} by OTLP`] : []),
      ]),
    );
  };
  for (const { uuid } of apps) await posthorn.api("POST", `/v1/installations/${uuid}/disable`);
  for (const { slug } of apps) await bus.publish("issue.created", { organization_id: slug, data: {} });
  await eventually(async () => (await series()).length === 8);
  for (const { uuid } of apps) await posthorn.api("POST", `/v1/installations/${uuid}/enable`);
  await eventually(async () => {
    const left = await series();
    if (left.length > 0) throw new Error(`still there: ${left.join(", ")}`);
    return true;
  });
  // What only grows goes on as it was.
  expect(collector.metrics.get("posthorn_attempts_total")?.temporality).toBe("cumulative");
  expect(exported("posthorn_deliveries_stored_total", { stream: "parked" })).toBeGreaterThan(2);
});

test("the age of what was parked is counted apart, and of test calls none is", async () => {
  const { slug, uuid } = await posthorn.install({ webhook_url: good.url, organization_id: "aged" });
  const ages = async () => {
    const count = (attempt: string) => scraped(`posthorn_delivery_age_seconds_count{attempt="${attempt}"}`);
    return { first: await count("first"), later: await count("later"), parked: await count("parked") };
  };
  const before = await ages();
  expect((await posthorn.api("POST", `/v1/apps/${slug}/test`, {})).status).toBe(200);
  expect(await ages()).toEqual(before);
  await posthorn.api("POST", `/v1/installations/${uuid}/disable`);
  await bus.publish("issue.created", { organization_id: "aged", data: {} });
  await eventually(async () => (await posthorn.api("GET", `/v1/installations/${uuid}/health`)).body.parked.deliveries === 1);
  await posthorn.api("POST", `/v1/installations/${uuid}/enable`);
  await eventually(async () => (await ages()).parked > before.parked);
  expect(await ages()).toEqual({ ...before, parked: before.parked + 1 });
  await eventually(() => Number(point("posthorn_delivery_age_seconds", { attempt: "parked" }).count) === before.parked + 1);
  expect(point("posthorn_delivery_age_seconds", { attempt: "parked" }).explicitBounds?.at(-1)).toBe(7 * 24 * 3600);
});
