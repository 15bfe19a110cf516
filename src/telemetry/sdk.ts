/**
 * Starts OpenTelemetry's SDK for traces when the standard OTEL_* settings ask for it, and loads it only then. The exporter
 * reads its own OTEL_EXPORTER_OTLP_* settings (endpoint, headers, timeout, compression).
 */
import { DiagLogLevel, diag, trace } from "@opentelemetry/api";
import type { Logger } from "../model/logger.ts";

type Environment = Readonly<Record<string, string | undefined>>;

export interface Sdk {
  readonly isTracing: boolean;
  /** Sends what is not sent yet. */
  stop(): Promise<void>;
}

const STOP_WITHIN_MS = 5_000;

export async function startSdk(environment: Environment, version: string, logger: Logger): Promise<Sdk> {
  if (!isWanted(environment)) return { isTracing: false, stop: async () => {} };
  const [{ BatchSpanProcessor, TracerProvider }, { OTLPTraceExporter }, resources] = await Promise.all([
    import("@opentelemetry/sdk-trace"),
    import("@opentelemetry/exporter-trace-otlp-http"),
    import("@opentelemetry/resources"),
  ]);
  diag.setLogger(
    {
      verbose: (message) => logger.trace({}, message),
      debug: (message) => logger.debug({}, message),
      info: (message) => logger.info({}, message),
      warn: (message) => logger.warn({}, message),
      error: (message) => logger.error({}, message),
    },
    { logLevel: DiagLogLevel.WARN, suppressOverrideMessage: true },
  );
  const resource = resources
    .resourceFromAttributes({ "service.name": "posthorn", "service.version": version })
    .merge(resources.detectResources({ detectors: [resources.envDetector, resources.serviceNameEnvDetector] }));
  const provider = new TracerProvider({
    resource,
    sampler: await samplerOf(environment),
    spanProcessors: [new BatchSpanProcessor({ exporter: new OTLPTraceExporter(), ...batchOptions(environment) })],
  });
  trace.setGlobalTracerProvider(provider);
  logger.info(
    { endpoint: environment["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"] ?? environment["OTEL_EXPORTER_OTLP_ENDPOINT"] },
    "exporting traces",
  );
  return {
    isTracing: true,
    async stop() {
      await Promise.race([
        provider.shutdown().catch((error: unknown) => logger.warn({ error: String(error) }, "the last spans could not be exported")),
        new Promise((resolve) => setTimeout(resolve, STOP_WITHIN_MS).unref()),
      ]);
    },
  };
}

function isWanted(environment: Environment): boolean {
  if (environment["OTEL_SDK_DISABLED"]?.toLowerCase() === "true" || environment["OTEL_TRACES_EXPORTER"] === "none") return false;
  return Boolean(
    environment["OTEL_EXPORTER_OTLP_ENDPOINT"] || environment["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"] || environment["OTEL_TRACES_EXPORTER"],
  );
}

/** The specification's OTEL_BSP_*, which the SDK leaves to whoever starts it. */
function batchOptions(environment: Environment) {
  const numberOf = (name: string): number | undefined => {
    const value = Number(environment[`OTEL_BSP_${name}`] || Number.NaN);
    return Number.isInteger(value) && value > 0 ? value : undefined;
  };
  const options = {
    scheduledDelayMillis: numberOf("SCHEDULE_DELAY"),
    exportTimeoutMillis: numberOf("EXPORT_TIMEOUT"),
    maxQueueSize: numberOf("MAX_QUEUE_SIZE"),
    maxExportBatchSize: numberOf("MAX_EXPORT_BATCH_SIZE"),
  };
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
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
