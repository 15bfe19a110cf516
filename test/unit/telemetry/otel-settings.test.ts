import { expect, test } from "vitest";
import { type Environment, type OtelSettings, readOtelSettings } from "../../../src/telemetry/otel-settings.ts";
import { silentLogger } from "../../support/silent-logger.ts";

function read(environment: Environment): OtelSettings & { warnings: Array<Record<string, unknown>> } {
  const warnings: Array<Record<string, unknown>> = [];
  const warn = (facts: object): void => void warnings.push({ ...facts });
  return { ...readOtelSettings(environment, { ...silentLogger, warn }), warnings };
}
const endpoint = { OTEL_EXPORTER_OTLP_ENDPOINT: "http://collector:4318" };

test("without settings, with empty ones and when it is disabled nothing is exported", () => {
  const nothing = { traces: null, metrics: null, warnings: [] };
  expect(read({})).toEqual(nothing);
  expect(read({ OTEL_EXPORTER_OTLP_ENDPOINT: "", OTEL_TRACES_EXPORTER: "", OTEL_METRICS_EXPORTER: " " })).toEqual(nothing);
  expect(read({ ...endpoint, OTEL_SDK_DISABLED: "true", OTEL_TRACES_SAMPLER: "sometimes" })).toEqual(nothing);
});

test("an endpoint is for both signals, one of a signal goes before it, and an exporter without one has the default", () => {
  const endpoints = (environment: Environment) => {
    const { traces, metrics, warnings } = read(environment);
    expect(warnings).toEqual([]);
    return [traces?.endpoint, metrics?.endpoint];
  };
  expect(endpoints(endpoint)).toEqual(["http://collector:4318/v1/traces", "http://collector:4318/v1/metrics"]);
  expect(endpoints({ OTEL_EXPORTER_OTLP_ENDPOINT: "http://collector:4318/" })[0]).toBe("http://collector:4318/v1/traces");
  expect(endpoints({ ...endpoint, OTEL_METRICS_EXPORTER: "none" })).toEqual(["http://collector:4318/v1/traces", undefined]);
  expect(endpoints({ ...endpoint, OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: "https://traces/in" })).toEqual([
    "https://traces/in",
    "http://collector:4318/v1/metrics",
  ]);
  expect(endpoints({ OTEL_EXPORTER_OTLP_METRICS_ENDPOINT: "https://metrics/in" })).toEqual([undefined, "https://metrics/in"]);
  expect(endpoints({ OTEL_TRACES_EXPORTER: "otlp" })).toEqual(["http://localhost:4318/v1/traces", undefined]);
});

test.each([
  ["http://user:s3cret@collector:4318?key=s3cret", "http://REDACTED:REDACTED@collector:4318/"],
  ["http://user:s3cret@s3cret@collector/", "http://REDACTED:REDACTED@collector/v1/traces"],
  ["http://s3cret@collector/pre#s3cret", "http://REDACTED:REDACTED@collector/pre"],
])("the endpoint %s is shown as %s", (url, shown) => {
  expect(read({ OTEL_EXPORTER_OTLP_ENDPOINT: url }).traces?.endpoint).toBe(shown);
});

test.each(["user:s3cret@collector:4318", "collector-s3cret", "http://user:s3/cret@collector", "localhost:s3cret"])(
  "what is no endpoint turns its signal off and is not shown: %s",
  (url) => {
    const ofTraces = read({ ...endpoint, OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: url });
    expect([ofTraces.traces, ofTraces.metrics?.endpoint]).toEqual([null, "http://collector:4318/v1/metrics"]);
    expect(ofTraces.warnings.map(({ setting }) => setting)).toEqual(["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"]);
    const ofBoth = read({ OTEL_EXPORTER_OTLP_ENDPOINT: url });
    expect([ofBoth.traces, ofBoth.metrics]).toEqual([null, null]);
    expect(ofBoth.warnings.map(({ setting }) => setting)).toEqual(["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"]);
    expect(JSON.stringify([ofTraces, ofBoth])).not.toMatch(/s3|cret/);
  },
);

test("a setting that can't be followed is named with what was found and wanted, and its default is used", () => {
  const found = read({
    ...endpoint,
    OTEL_TRACES_EXPORTER: "console",
    OTEL_METRICS_EXPORTER: "prometheus",
    OTEL_EXPORTER_OTLP_PROTOCOL: "grpc",
    OTEL_TRACES_SAMPLER: "parentbased_traceidratio",
    OTEL_TRACES_SAMPLER_ARG: "abc",
    OTEL_BSP_MAX_QUEUE_SIZE: "-1",
    OTEL_METRIC_EXPORT_INTERVAL: "1m",
  });
  expect(found.warnings).toEqual([
    { setting: "OTEL_TRACES_EXPORTER", found: "console", wanted: "otlp, none" },
    { setting: "OTEL_EXPORTER_OTLP_PROTOCOL", found: "grpc", wanted: "http/json, http/protobuf" },
    { setting: "OTEL_METRICS_EXPORTER", found: "prometheus", wanted: "otlp, none" },
    { setting: "OTEL_TRACES_SAMPLER_ARG", found: "abc", wanted: "a number from 0 to 1" },
    { setting: "OTEL_BSP_MAX_QUEUE_SIZE", found: "-1", wanted: "a whole number above 0" },
    { setting: "OTEL_METRIC_EXPORT_INTERVAL", found: "1m", wanted: "a whole number above 0" },
  ]);
  expect(found.traces).toMatchObject({ sampler: "parentbased_traceidratio", ratio: 1, protocol: "http/json", processor: {} });
  expect(found.metrics?.reader).toEqual({});
  expect(read({ ...endpoint, OTEL_TRACES_SAMPLER: "sometimes" })).toMatchObject({
    traces: { sampler: "parentbased_always_on" },
    warnings: [{ setting: "OTEL_TRACES_SAMPLER", found: "sometimes", wanted: expect.stringContaining("always_on, always_off") }],
  });
});

test.each([
  ["", 1],
  ["0", 0],
  ["0.25", 0.25],
  ["1", 1],
])("the ratio %j is %d", (argument, ratio) => {
  const { traces, warnings } = read({ ...endpoint, OTEL_TRACES_SAMPLER: "traceidratio", OTEL_TRACES_SAMPLER_ARG: argument });
  expect([traces?.ratio, warnings]).toEqual([ratio, []]);
});

test.each(["-0.1", "1.5", "NaN", "Infinity"])("the ratio %s is none", (argument) => {
  const { traces, warnings } = read({ ...endpoint, OTEL_TRACES_SAMPLER: "traceidratio", OTEL_TRACES_SAMPLER_ARG: argument });
  expect([traces?.ratio, warnings.length]).toEqual([1, 1]);
});

test("the protocol of a signal goes before that of both", () => {
  const protocols = (environment: Environment) => {
    const { traces, metrics, warnings } = read({ ...endpoint, ...environment });
    expect(warnings).toEqual([]);
    return [traces?.protocol, metrics?.protocol];
  };
  expect(protocols({})).toEqual(["http/json", "http/json"]);
  expect(protocols({ OTEL_EXPORTER_OTLP_PROTOCOL: "http/protobuf" })).toEqual(["http/protobuf", "http/protobuf"]);
  expect(protocols({ OTEL_EXPORTER_OTLP_METRICS_PROTOCOL: "http/protobuf" })).toEqual(["http/json", "http/protobuf"]);
  expect(protocols({ OTEL_EXPORTER_OTLP_PROTOCOL: "http/protobuf", OTEL_EXPORTER_OTLP_TRACES_PROTOCOL: "http/json" })).toEqual([
    "http/json",
    "http/protobuf",
  ]);
});

test("a timeout of metrics is cut to their interval", () => {
  const { metrics } = read({ ...endpoint, OTEL_METRIC_EXPORT_INTERVAL: "100", OTEL_METRIC_EXPORT_TIMEOUT: "30000" });
  expect(metrics?.reader).toEqual({ exportIntervalMillis: 100, exportTimeoutMillis: 100 });
});
