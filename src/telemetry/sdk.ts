/**
 * Loads and starts OpenTelemetry's SDK for traces and metrics if the standard OTEL_* settings ask for it. The exporters read
 * their own OTEL_EXPORTER_OTLP_* settings (endpoint, headers, timeout, compression).
 */
import { randomUUID } from "node:crypto";
import { DiagLogLevel, diag, metrics as metricsApi } from "@opentelemetry/api";
import type { Resource } from "@opentelemetry/resources";
import type { ReadableSpan, Sampler } from "@opentelemetry/sdk-trace";
import { messageOf } from "../model/app-error.ts";
import type { Logger } from "../model/logger.ts";
import { createLinkedSampler } from "./linked-sampler.ts";
import { type Environment, type MetricsSettings, readOtelSettings, type TracesSettings } from "./otel-settings.ts";
import { createTracer, type Tracer } from "./tracer.ts";

export interface Sdk {
  /** Null if traces are not exported. */
  readonly tracer: Tracer | null;
  /** Exports the spans that wait. */
  flush(): Promise<void>;
  /** Exports the remaining spans and metrics. */
  stop(): Promise<void>;
}

const STOP_WITHIN_MS = 5_000;
/** The SDK's default would drop counters of single apps. */
const MOST_SERIES = 10_000;

export async function startSdk(environment: Environment, version: string, logger: Logger): Promise<Sdk> {
  const { traces, metrics } = readOtelSettings(environment, logger);
  if (traces === null && metrics === null) return { tracer: null, flush: async () => {}, stop: async () => {} };
  logThrough(logger);
  const resource = await resourceOf(version);
  const shutdowns: Array<() => Promise<void>> = [];
  const tracing = traces === null ? null : await startTraces(traces, resource, version);
  if (tracing !== null) shutdowns.push(tracing.stop);
  if (metrics !== null) shutdowns.push(await startMetrics(metrics, resource));
  logger.info({ traces: traces?.endpoint, metrics: metrics?.endpoint }, "exporting by OTLP");
  return {
    tracer: tracing?.tracer ?? null,
    flush: async () => tracing?.flush(),
    async stop() {
      const stopped = Promise.all(shutdowns.map((shutdown) => shutdown())).catch((error: unknown) =>
        logger.warn({ error: messageOf(error) }, "the last spans and metrics could not be exported"),
      );
      await Promise.race([stopped, new Promise((resolve) => setTimeout(resolve, STOP_WITHIN_MS).unref())]);
    },
  };
}

/** Problems of the SDK are only warnings: deliveries continue without telemetry. */
function logThrough(logger: Logger): void {
  const warn = (message: string): void => logger.warn({ problem: problemIn(message) }, "OpenTelemetry problem");
  diag.setLogger(
    { verbose: () => {}, debug: () => {}, info: () => {}, warn, error: warn },
    { logLevel: DiagLogLevel.WARN, suppressOverrideMessage: true },
  );
}

/** The SDK passes errors as JSON with their stack. */
function problemIn(message: string): string {
  try {
    return String((JSON.parse(message) as { message?: unknown }).message ?? message);
  } catch {
    return message;
  }
}

/** The instance id distinguishes replicas; OTEL_RESOURCE_ATTRIBUTES may replace it. */
async function resourceOf(version: string): Promise<Resource> {
  const { detectResources, envDetector, resourceFromAttributes, serviceNameEnvDetector } = await import("@opentelemetry/resources");
  return resourceFromAttributes({
    "service.name": "posthorn",
    "service.version": version,
    "service.instance.id": randomUUID(),
  }).merge(detectResources({ detectors: [envDetector, serviceNameEnvDetector] }));
}

async function startTraces(
  settings: TracesSettings,
  resource: Resource,
  version: string,
): Promise<{ tracer: Tracer; flush: () => Promise<void>; stop: () => Promise<void> }> {
  const [{ BatchSpanProcessor }, { OTLPTraceExporter }] = await Promise.all([
    import("@opentelemetry/sdk-trace"),
    settings.protocol === "http/protobuf"
      ? import("@opentelemetry/exporter-trace-otlp-proto")
      : import("@opentelemetry/exporter-trace-otlp-http"),
  ]);
  const processor = new BatchSpanProcessor({ exporter: new OTLPTraceExporter(), ...settings.processor });
  const origin = { resource, instrumentationScope: { name: "posthorn", version }, onEnd: (span: ReadableSpan) => processor.onEnd(span) };
  const tracer = createTracer(origin, await samplerOf(settings));
  return { tracer, flush: () => processor.forceFlush(), stop: () => processor.shutdown() };
}

async function startMetrics(settings: MetricsSettings, resource: Resource): Promise<() => Promise<void>> {
  const [{ AggregationTemporality, InstrumentType, MeterProvider, PeriodicExportingMetricReader }, { OTLPMetricExporter }] =
    await Promise.all([
      import("@opentelemetry/sdk-metrics"),
      settings.protocol === "http/protobuf"
        ? import("@opentelemetry/exporter-metrics-otlp-proto")
        : import("@opentelemetry/exporter-metrics-otlp-http"),
    ]);
  const exporter = new OTLPMetricExporter();
  // With cumulative temporality the SDK exports every series ever observed, so an app whose backlog is empty would keep its last
  // value. A gauge looks the same to the receiver either way.
  const temporalityOf = exporter.selectAggregationTemporality.bind(exporter);
  exporter.selectAggregationTemporality = (type) =>
    type === InstrumentType.OBSERVABLE_GAUGE ? AggregationTemporality.DELTA : temporalityOf(type);
  const reader = new PeriodicExportingMetricReader({ exporter, cardinalityLimits: { default: MOST_SERIES }, ...settings.reader });
  const provider = new MeterProvider({ resource, readers: [reader] });
  metricsApi.setGlobalMeterProvider(provider);
  return () => provider.shutdown();
}

async function samplerOf({ sampler, ratio }: TracesSettings): Promise<Sampler> {
  const { AlwaysOffSampler, AlwaysOnSampler, ParentBasedSampler, TraceIdRatioBasedSampler } = await import("@opentelemetry/sdk-trace");
  switch (sampler) {
    case "always_on":
      return new AlwaysOnSampler();
    case "always_off":
      return new AlwaysOffSampler();
    case "traceidratio":
      return new TraceIdRatioBasedSampler(ratio);
    case "parentbased_always_on":
      return new ParentBasedSampler({ root: new AlwaysOnSampler() });
    case "parentbased_always_off":
      return new ParentBasedSampler({ root: createLinkedSampler(new AlwaysOffSampler()) });
    case "parentbased_traceidratio":
      return new ParentBasedSampler({ root: createLinkedSampler(new TraceIdRatioBasedSampler(ratio)) });
  }
}
