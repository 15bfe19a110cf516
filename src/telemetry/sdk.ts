/**
 * Starts OpenTelemetry's SDK for traces and metrics when the standard OTEL_* settings ask for it, and loads it only then. The
 * exporters read their own OTEL_EXPORTER_OTLP_* settings (endpoint, headers, timeout, compression); they speak JSON over HTTP.
 */
import { DiagLogLevel, diag, metrics, trace } from "@opentelemetry/api";
import type { Resource } from "@opentelemetry/resources";
import { messageOf } from "../model/app-error.ts";
import type { Logger } from "../model/logger.ts";

type Environment = Readonly<Record<string, string | undefined>>;

export interface Sdk {
  readonly isTracing: boolean;
  /** Sends what is not sent yet. */
  stop(): Promise<void>;
}

type Signal = "TRACES" | "METRICS";

const STOP_WITHIN_MS = 5_000;
/** The SDK's own limit would cut the counters of single apps. */
const MOST_SERIES = 10_000;

export async function startSdk(environment: Environment, version: string, logger: Logger): Promise<Sdk> {
  const isTracing = isWanted("TRACES", environment);
  const isMeasuring = isWanted("METRICS", environment);
  if (!isTracing && !isMeasuring) return { isTracing: false, stop: async () => {} };
  logThrough(logger);
  warnOfProtocols(environment, logger);
  const resource = await resourceOf(version);
  const shutdowns: Array<() => Promise<void>> = [];
  if (isTracing) shutdowns.push(await startTraces(environment, resource));
  if (isMeasuring) shutdowns.push(await startMetrics(environment, resource));
  logger.info({ endpoint: environment["OTEL_EXPORTER_OTLP_ENDPOINT"], traces: isTracing, metrics: isMeasuring }, "exporting by OTLP");
  return {
    isTracing,
    async stop() {
      const stopped = Promise.all(shutdowns.map((shutdown) => shutdown())).catch((error: unknown) =>
        logger.warn({ error: messageOf(error) }, "the last spans and metrics could not be exported"),
      );
      await Promise.race([stopped, new Promise((resolve) => setTimeout(resolve, STOP_WITHIN_MS).unref())]);
    },
  };
}

function isWanted(signal: Signal, environment: Environment): boolean {
  if (environment["OTEL_SDK_DISABLED"]?.toLowerCase() === "true") return false;
  const exporter = environment[`OTEL_${signal}_EXPORTER`];
  if (exporter === "none") return false;
  return exporter === "otlp" || Boolean(environment["OTEL_EXPORTER_OTLP_ENDPOINT"] || environment[`OTEL_EXPORTER_OTLP_${signal}_ENDPOINT`]);
}

/** A setting that can't be followed is better said than passed over. */
function warnOfProtocols(environment: Environment, logger: Logger): void {
  for (const name of ["OTEL_EXPORTER_OTLP_PROTOCOL", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_METRICS_PROTOCOL"]) {
    const protocol = environment[name];
    if (protocol && protocol !== "http/json") logger.warn({ [name]: protocol }, "OTLP is exported as http/json, whatever this says");
  }
}

/** What the SDK complains of is about telemetry, and never more than a warning: deliveries go on. */
function logThrough(logger: Logger): void {
  const complain = (message: string): void => logger.warn({ problem: problemIn(message) }, "OpenTelemetry can't do all it should");
  diag.setLogger(
    { verbose: () => {}, debug: () => {}, info: () => {}, warn: complain, error: complain },
    { logLevel: DiagLogLevel.WARN, suppressOverrideMessage: true },
  );
}

/** Errors come as JSON with their stack. */
function problemIn(message: string): string {
  try {
    return String((JSON.parse(message) as { message?: unknown }).message ?? message);
  } catch {
    return message;
  }
}

async function resourceOf(version: string): Promise<Resource> {
  const { detectResources, envDetector, resourceFromAttributes, serviceNameEnvDetector } = await import("@opentelemetry/resources");
  return resourceFromAttributes({ "service.name": "posthorn", "service.version": version }).merge(
    detectResources({ detectors: [envDetector, serviceNameEnvDetector] }),
  );
}

async function startTraces(environment: Environment, resource: Resource): Promise<() => Promise<void>> {
  const [{ BatchSpanProcessor, TracerProvider }, { OTLPTraceExporter }] = await Promise.all([
    import("@opentelemetry/sdk-trace"),
    import("@opentelemetry/exporter-trace-otlp-http"),
  ]);
  const processor = new BatchSpanProcessor({
    exporter: new OTLPTraceExporter(),
    ...given({
      scheduledDelayMillis: numberIn(environment, "OTEL_BSP_SCHEDULE_DELAY"),
      exportTimeoutMillis: numberIn(environment, "OTEL_BSP_EXPORT_TIMEOUT"),
      maxQueueSize: numberIn(environment, "OTEL_BSP_MAX_QUEUE_SIZE"),
      maxExportBatchSize: numberIn(environment, "OTEL_BSP_MAX_EXPORT_BATCH_SIZE"),
    }),
  });
  const provider = new TracerProvider({ resource, sampler: await samplerOf(environment), spanProcessors: [processor] });
  trace.setGlobalTracerProvider(provider);
  return () => provider.shutdown();
}

async function startMetrics(environment: Environment, resource: Resource): Promise<() => Promise<void>> {
  const [{ MeterProvider, PeriodicExportingMetricReader }, { OTLPMetricExporter }] = await Promise.all([
    import("@opentelemetry/sdk-metrics"),
    import("@opentelemetry/exporter-metrics-otlp-http"),
  ]);
  const reader = new PeriodicExportingMetricReader({
    exporter: new OTLPMetricExporter(),
    cardinalityLimits: { default: MOST_SERIES },
    ...given({
      exportIntervalMillis: numberIn(environment, "OTEL_METRIC_EXPORT_INTERVAL"),
      exportTimeoutMillis: numberIn(environment, "OTEL_METRIC_EXPORT_TIMEOUT"),
    }),
  });
  const provider = new MeterProvider({ resource, readers: [reader] });
  metrics.setGlobalMeterProvider(provider);
  return () => provider.shutdown();
}

/** The specification's numbers that the SDK leaves to whoever starts it. */
function numberIn(environment: Environment, name: string): number | undefined {
  const value = Number(environment[name] || Number.NaN);
  return Number.isInteger(value) && value > 0 ? value : undefined;
}

function given<T extends object>(options: T): { [K in keyof T]?: NonNullable<T[K]> } {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as { [K in keyof T]?: NonNullable<T[K]> };
}

/** OTEL_TRACES_SAMPLER and OTEL_TRACES_SAMPLER_ARG, with the specification's names and default. */
async function samplerOf(environment: Environment) {
  const { AlwaysOffSampler, AlwaysOnSampler, ParentBasedSampler, TraceIdRatioBasedSampler } = await import("@opentelemetry/sdk-trace");
  const ratio = Number(environment["OTEL_TRACES_SAMPLER_ARG"] ?? 1);
  switch (environment["OTEL_TRACES_SAMPLER"]) {
    case "always_on":
      return new AlwaysOnSampler();
    case "always_off":
      return new AlwaysOffSampler();
    case "traceidratio":
      return new TraceIdRatioBasedSampler(ratio);
    case "parentbased_always_off":
      return new ParentBasedSampler({ root: new AlwaysOffSampler() });
    case "parentbased_traceidratio":
      return new ParentBasedSampler({ root: new TraceIdRatioBasedSampler(ratio) });
    default:
      return new ParentBasedSampler({ root: new AlwaysOnSampler() });
  }
}
