/**
 * Metrics: plain numbers that the hot path bumps without allocating, rendered in the Prometheus text format
 * (version 0.0.4) when somebody asks. What can be read at that moment is read then.
 */
import { monitorEventLoopDelay } from "node:perf_hooks";
import { BUCKETS_S, METRICS, type MetricDefinition, type MetricName } from "./metric-table.ts";

export interface Counter {
  add(by?: number): void;
}

export interface Histogram {
  /** Seconds. */
  observe(seconds: number): void;
}

export interface Metrics {
  /** @param label the value of the metric's only label, for one that has it. */
  counter(name: MetricName, label?: string): Counter;
  histogram(name: MetricName): Histogram;
  /** Read at every render: one number, or one per value of the metric's label. */
  read(name: MetricName, read: () => number | Readonly<Record<string, number>>): void;
  render(): string;
  stop(): void;
}

interface HistogramState {
  readonly buckets: Float64Array;
  sum: number;
  count: number;
}

export function createMetrics(): Metrics {
  const counters = new Map<string, { value: number }>();
  const histograms = new Map<MetricName, HistogramState>();
  const readers = new Map<MetricName, () => number | Readonly<Record<string, number>>>();
  const loopDelay = monitorEventLoopDelay({ resolution: 20 });
  loopDelay.enable();

  const metrics: Metrics = {
    counter(name, label) {
      const key = seriesOf(name, label);
      let state = counters.get(key);
      if (state === undefined) {
        state = { value: 0 };
        counters.set(key, state);
      }
      const counted = state;
      return {
        add(by = 1) {
          counted.value += by;
        },
      };
    },

    histogram(name) {
      const state: HistogramState = { buckets: new Float64Array(BUCKETS_S.length + 1), sum: 0, count: 0 };
      histograms.set(name, state);
      return {
        observe(seconds) {
          let bucket = 0;
          while (bucket < BUCKETS_S.length && seconds > (BUCKETS_S[bucket] ?? 0)) bucket++;
          state.buckets[bucket] = (state.buckets[bucket] ?? 0) + 1;
          state.sum += seconds;
          state.count++;
        },
      };
    },

    read: (name, read) => void readers.set(name, read),

    render() {
      const lines: string[] = [];
      for (const [name, { kind, help }] of Object.entries(METRICS) as Array<[MetricName, MetricDefinition]>) {
        const series = seriesLines(name);
        if (series.length > 0) lines.push(`# HELP ${name} ${help}`, `# TYPE ${name} ${kind}`, ...series);
      }
      return `${lines.join("\n")}\n`;
    },

    stop: () => void loopDelay.disable(),
  };

  const seriesLines = (name: MetricName): string[] => {
    const histogram = histograms.get(name);
    if (histogram !== undefined) return histogramLines(name, histogram);
    const read = readers.get(name);
    if (read !== undefined) {
      const value = read();
      if (typeof value === "number") return [`${name} ${value}`];
      return Object.entries(value).map(([label, of]) => `${seriesOf(name, label)} ${of}`);
    }
    return [...counters].filter(([key]) => key === name || key.startsWith(`${name}{`)).map(([key, { value }]) => `${key} ${value}`);
  };

  metrics.read("posthorn_event_loop_delay_seconds", () => {
    const seconds = loopDelay.percentile(99) / 1e9;
    loopDelay.reset();
    return seconds;
  });
  metrics.read("process_resident_memory_bytes", () => process.memoryUsage.rss());
  metrics.read("process_cpu_seconds_total", () => {
    const { user, system } = process.cpuUsage();
    return (user + system) / 1e6;
  });
  return metrics;
}

/** The Prometheus name of one series. */
function seriesOf(name: MetricName, label: string | undefined): string {
  const { labels } = METRICS[name] as MetricDefinition;
  const [labelName] = Object.keys(labels ?? {});
  return label === undefined || labelName === undefined ? name : `${name}{${labelName}="${label}"}`;
}

function histogramLines(name: string, { buckets, sum, count }: HistogramState): string[] {
  let total = 0;
  const lines = BUCKETS_S.map((bound, at) => {
    total += buckets[at] ?? 0;
    return `${name}_bucket{le="${bound}"} ${total}`;
  });
  return [...lines, `${name}_bucket{le="+Inf"} ${count}`, `${name}_sum ${sum}`, `${name}_count ${count}`];
}
