/**
 * Reads the OTEL_* settings that the SDK leaves to the program. An empty value counts as unset. An invalid value logs a warning
 * and the default is used. The log never shows credentials in an endpoint.
 */
import type { Logger } from "../model/logger.ts";
import { withoutSecrets } from "../model/redaction/safe-url.ts";

export type Environment = Readonly<Record<string, string | undefined>>;

const PROTOCOLS = ["http/json", "http/protobuf"] as const;
const SAMPLERS = [
  "always_on",
  "always_off",
  "traceidratio",
  "parentbased_always_on",
  "parentbased_always_off",
  "parentbased_traceidratio",
] as const;

interface SignalSettings {
  /** For the log, without credentials and query; the exporter reads the setting itself. */
  readonly endpoint: string;
  readonly protocol: (typeof PROTOCOLS)[number];
}

export interface TracesSettings extends SignalSettings {
  readonly sampler: (typeof SAMPLERS)[number];
  /** 0 to 1, for the samplers that take one. */
  readonly ratio: number;
  /** Options of the SDK's BatchSpanProcessor. */
  readonly processor: {
    readonly scheduledDelayMillis?: number;
    readonly exportTimeoutMillis?: number;
    readonly maxQueueSize?: number;
    readonly maxExportBatchSize?: number;
  };
}

export interface MetricsSettings extends SignalSettings {
  /** Options of the SDK's PeriodicExportingMetricReader. */
  readonly reader: { readonly exportIntervalMillis?: number; readonly exportTimeoutMillis?: number };
}

export interface OtelSettings {
  /** Null if traces are not exported. */
  readonly traces: TracesSettings | null;
  readonly metrics: MetricsSettings | null;
}

type Signal = "TRACES" | "METRICS";

const ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT";
const DEFAULT_ENDPOINT = "http://localhost:4318";

export function readOtelSettings(environment: Environment, logger: Logger): OtelSettings {
  const warned = new Set<string>();
  const read = (name: string): string | undefined => (environment[name]?.trim() ? environment[name] : undefined);

  const warn = (setting: string, found: string, wanted: string): void => {
    if (warned.has(setting)) return;
    warned.add(setting);
    logger.warn({ setting, found, wanted }, "invalid OpenTelemetry setting; its default is used");
  };

  const choose = <T extends string>(name: string, wanted: readonly T[]): T | undefined => {
    const found = read(name);
    const chosen = wanted.find((value) => value === found?.trim().toLowerCase());
    if (found !== undefined && chosen === undefined) warn(name, found, wanted.join(", "));
    return chosen;
  };

  const number = (name: string, wanted: string, isValid: (value: number) => boolean): number | undefined => {
    const found = read(name);
    if (found === undefined || isValid(Number(found))) return found === undefined ? undefined : Number(found);
    warn(name, found, wanted);
    return undefined;
  };
  const positive = (name: string): number | undefined =>
    number(name, "a whole number above 0", (value) => Number.isInteger(value) && value > 0);

  const isWanted = (signal: Signal): boolean => {
    const exporter = choose(`OTEL_${signal}_EXPORTER`, ["otlp", "none"]);
    if (exporter !== undefined) return exporter === "otlp";
    return read(ENDPOINT) !== undefined || read(`OTEL_EXPORTER_OTLP_${signal}_ENDPOINT`) !== undefined;
  };

  /** The endpoint as the exporter derives it from the settings; null if it is invalid. */
  const endpointOf = (signal: Signal): string | null => {
    const own = `OTEL_EXPORTER_OTLP_${signal}_ENDPOINT`;
    const url = read(own) ?? `${(read(ENDPOINT) ?? DEFAULT_ENDPOINT).replace(/(?<!\/)$/, "/")}v1/${signal.toLowerCase()}`;
    if (URL.canParse(url) && /^https?:$/.test(new URL(url).protocol)) return withoutSecrets(new URL(url).href);
    const setting = read(own) === undefined ? ENDPOINT : own;
    // Never log it: `user:password@host` parses as a URL and may hold a password.
    const wanted = `an http or https URL, e.g. ${DEFAULT_ENDPOINT}`;
    logger.warn({ setting, found: "something else", wanted }, `${signal.toLowerCase()} are not exported: invalid endpoint`);
    return null;
  };

  const signalOf = (signal: Signal): SignalSettings | null => {
    const endpoint = isWanted(signal) ? endpointOf(signal) : null;
    if (endpoint === null) return null;
    const own = `OTEL_EXPORTER_OTLP_${signal}_PROTOCOL`;
    return { endpoint, protocol: choose(read(own) === undefined ? "OTEL_EXPORTER_OTLP_PROTOCOL" : own, PROTOCOLS) ?? "http/json" };
  };

  const tracesOf = (signal: SignalSettings): TracesSettings => {
    const sampler = choose("OTEL_TRACES_SAMPLER", SAMPLERS) ?? "parentbased_always_on";
    const isRatio = (value: number): boolean => value >= 0 && value <= 1;
    const ratio = sampler.endsWith("ratio") ? number("OTEL_TRACES_SAMPLER_ARG", "a number from 0 to 1", isRatio) : undefined;
    return {
      ...signal,
      sampler,
      ratio: ratio ?? 1,
      processor: given({
        scheduledDelayMillis: positive("OTEL_BSP_SCHEDULE_DELAY"),
        exportTimeoutMillis: positive("OTEL_BSP_EXPORT_TIMEOUT"),
        maxQueueSize: positive("OTEL_BSP_MAX_QUEUE_SIZE"),
        maxExportBatchSize: positive("OTEL_BSP_MAX_EXPORT_BATCH_SIZE"),
      }),
    };
  };

  const metricsOf = (signal: SignalSettings): MetricsSettings => {
    const interval = positive("OTEL_METRIC_EXPORT_INTERVAL");
    const timeout = positive("OTEL_METRIC_EXPORT_TIMEOUT");
    // The reader throws for a timeout above the interval.
    const within = timeout === undefined || interval === undefined ? timeout : Math.min(timeout, interval);
    return { ...signal, reader: given({ exportIntervalMillis: interval, exportTimeoutMillis: within }) };
  };

  if (read("OTEL_SDK_DISABLED")?.trim().toLowerCase() === "true") return { traces: null, metrics: null };
  const [traces, metrics] = [signalOf("TRACES"), signalOf("METRICS")];
  return { traces: traces && tracesOf(traces), metrics: metrics && metricsOf(metrics) };
}

function given<T extends object>(options: T): { [K in keyof T]?: NonNullable<T[K]> } {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as { [K in keyof T]?: NonNullable<T[K]> };
}
