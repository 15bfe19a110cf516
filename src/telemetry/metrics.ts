/**
 * Metrics: plain numbers that the hot path changes without allocating. They are read on demand: rendered in the Prometheus text
 * format (version 0.0.4), and observed by OpenTelemetry instruments for OTLP.
 *
 * METRIC-1  The labels and attributes of a series are built once; counting is an addition.
 * METRIC-2  Counters and gauges are observable instruments over the same numbers. Histograms record each value, since OpenTelemetry
 *     has no observable histogram; without the SDK that call does nothing.
 */
import { monitorEventLoopDelay } from "node:perf_hooks";
import {
  type Attributes,
  type Histogram as HistogramInstrument,
  type Meter,
  type ObservableResult,
  metrics as openTelemetry,
} from "@opentelemetry/api";
import { METRICS, type MetricDefinition, type MetricName } from "./metric-table.ts";

export interface Counter {
  add(by?: number): void;
}

export interface Histogram {
  /** Seconds. */
  observe(seconds: number): void;
}

/** One number, or one for each value of the metric's label. */
export type Reading = number | Readonly<Record<string, number>>;

export interface Metrics {
  /** @param labels the values of the metric's labels, in the order of the table */
  counter(name: MetricName, ...labels: readonly string[]): Counter;
  histogram(name: MetricName, ...labels: readonly string[]): Histogram;
  /** Registers a function that is called for each scrape and export. */
  read(name: MetricName, read: () => Reading): void;
  render(): string;
  stop(): void;
}

interface Series {
  /** `{a="b"}`, or empty. */
  readonly labels: string;
  readonly attributes: Attributes;
  value: number;
}

interface HistogramSeries {
  readonly labels: string;
  readonly bounds: readonly number[];
  /** One more than `bounds`. */
  readonly buckets: Float64Array;
  sum: number;
  count: number;
}

const LOOP_DELAY_WINDOW_MS = 10_000;
/** Each sample wakes the process up. */
const LOOP_DELAY_RESOLUTION_MS = 100;

/** The meter of the SDK, if it was started before; otherwise its instruments do nothing. */
export function createMeter(version: string): Meter {
  return openTelemetry.getMeter("posthorn", version);
}

export function createMetrics(meter: Meter): Metrics {
  const counters = new Map<MetricName, Map<string, Series>>();
  const histograms = new Map<MetricName, HistogramSeries[]>();
  const instruments = new Map<MetricName, HistogramInstrument>();
  const readers = new Map<MetricName, () => Reading>();
  const loopDelay = watchLoopDelay();

  const seriesOf = (name: MetricName): readonly Series[] => {
    const read = readers.get(name);
    if (read === undefined) return [...(counters.get(name)?.values() ?? [])];
    const reading = read();
    if (typeof reading === "number") return [{ ...labelled(name, []), value: reading }];
    return Object.entries(reading).map(([label, value]) => ({ ...labelled(name, [label]), value }));
  };

  for (const name of Object.keys(METRICS) as MetricName[]) {
    const { kind, help: description, unit = "", buckets = [] } = METRICS[name] as MetricDefinition;
    if (kind === "histogram") {
      const advice = { explicitBucketBoundaries: [...buckets] };
      instruments.set(name, meter.createHistogram(name, { description, unit, advice }));
      continue;
    }
    const options = { description, unit };
    const instrument = kind === "counter" ? meter.createObservableCounter(name, options) : meter.createObservableGauge(name, options);
    instrument.addCallback((result: ObservableResult) => {
      for (const { attributes, value } of seriesOf(name)) result.observe(value, attributes);
    });
  }

  const metrics: Metrics = {
    counter(name, ...labels) {
      const key = labels.join();
      const ofMetric = counters.get(name) ?? new Map<string, Series>();
      counters.set(name, ofMetric);
      const series = ofMetric.get(key) ?? { ...labelled(name, labels), value: 0 };
      ofMetric.set(key, series);
      return {
        add(by = 1) {
          series.value += by;
        },
      };
    },

    histogram(name, ...labelValues) {
      const { labels, attributes } = labelled(name, labelValues);
      const { buckets: bounds = [] } = METRICS[name] as MetricDefinition;
      const series: HistogramSeries = { labels, bounds, buckets: new Float64Array(bounds.length + 1), sum: 0, count: 0 };
      histograms.set(name, [...(histograms.get(name) ?? []), series]);
      const instrument = instruments.get(name);
      return {
        observe(seconds) {
          let bucket = 0;
          while (bucket < bounds.length && seconds > (bounds[bucket] ?? 0)) bucket++;
          series.buckets[bucket] = (series.buckets[bucket] ?? 0) + 1;
          series.sum += seconds;
          series.count++;
          instrument?.record(seconds, attributes);
        },
      };
    },

    read: (name, read) => void readers.set(name, read),

    render() {
      const lines: string[] = [];
      for (const [name, { kind, help }] of Object.entries(METRICS) as Array<[MetricName, MetricDefinition]>) {
        const series =
          kind === "histogram"
            ? (histograms.get(name) ?? []).flatMap((of) => histogramLines(name, of))
            : seriesOf(name).map(({ labels, value }) => `${name}${labels} ${value}`);
        if (series.length > 0) lines.push(`# HELP ${name} ${help}`, `# TYPE ${name} ${kind}`, ...series);
      }
      return `${lines.join("\n")}\n`;
    },

    stop: loopDelay.stop,
  };

  metrics.read("posthorn_event_loop_delay_seconds", loopDelay.seconds);
  metrics.read("process_start_time_seconds", () => performance.timeOrigin / 1000);
  metrics.read("process_resident_memory_bytes", () => process.memoryUsage.rss());
  metrics.read("process_cpu_seconds_total", () => {
    const { user, system } = process.cpuUsage();
    return (user + system) / 1e6;
  });
  return metrics;
}

function labelled(name: MetricName, values: readonly string[]): Pick<Series, "labels" | "attributes"> {
  const names = Object.keys((METRICS[name] as MetricDefinition).labels ?? {});
  const pairs = names.map((label, at) => [label, values[at] ?? ""] as const);
  return {
    labels: pairs.length === 0 ? "" : `{${pairs.map(([label, value]) => `${label}=${JSON.stringify(value)}`).join(",")}}`,
    attributes: Object.fromEntries(pairs),
  };
}

function histogramLines(name: string, { labels, bounds, buckets, sum, count }: HistogramSeries): string[] {
  const inner = labels === "" ? "" : `${labels.slice(1, -1)},`;
  let total = 0;
  const lines = bounds.map((bound, at) => {
    total += buckets[at] ?? 0;
    return `${name}_bucket{${inner}le="${bound}"} ${total}`;
  });
  return [...lines, `${name}_bucket{${inner}le="+Inf"} ${count}`, `${name}_sum${labels} ${sum}`, `${name}_count${labels} ${count}`];
}

/** The 99th percentile over the current and the previous window, so that the number of readers does not change it. */
function watchLoopDelay(): { seconds: () => number; stop: () => void } {
  const delay = monitorEventLoopDelay({ resolution: LOOP_DELAY_RESOLUTION_MS });
  delay.enable();
  let before = 0;
  // Node measures the time between samples, so an idle loop reports the resolution itself.
  const current = (): number => (delay.count === 0 ? 0 : Math.max(0, delay.percentile(99) / 1e6 - LOOP_DELAY_RESOLUTION_MS) / 1e3);
  const timer = setInterval(() => {
    before = current();
    delay.reset();
  }, LOOP_DELAY_WINDOW_MS);
  timer.unref();
  return {
    seconds: () => Math.max(before, current()),
    stop() {
      clearInterval(timer);
      delay.disable();
    },
  };
}
