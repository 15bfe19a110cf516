/** One text of metrics for several processes, from the text of each. */
import { METRICS, type MetricDefinition } from "./metric-table.ts";

/** @param texts what `Metrics.render` returns in each process */
export function mergeMetrics(texts: readonly string[]): string {
  const series = new Map<string, number>();
  /** Metric → its comments and the keys of its series, in order. */
  const metrics = new Map<string, { readonly comments: Set<string>; readonly keys: Set<string> }>();
  for (const text of texts) {
    let current = { comments: new Set<string>(), keys: new Set<string>() };
    let together: (a: number, b: number) => number = Math.max;
    for (const line of text.split("\n")) {
      if (line.startsWith("# ")) {
        const name = line.split(" ", 3)[2] ?? "";
        current = metrics.get(name) ?? { comments: new Set(), keys: new Set() };
        metrics.set(name, current);
        current.comments.add(line);
        together = togetherOf((METRICS as Readonly<Record<string, MetricDefinition>>)[name]);
      } else if (line !== "") {
        const end = line.lastIndexOf(" ");
        const [key, value] = [line.slice(0, end), Number(line.slice(end + 1))];
        const before = series.get(key);
        series.set(key, before === undefined ? value : together(before, value));
        current.keys.add(key);
      }
    }
  }
  const lines = [...metrics.values()].flatMap(({ comments, keys }) => [
    ...comments,
    ...[...keys].map((key) => `${key} ${series.get(key)}`),
  ]);
  return `${lines.join("\n")}\n`;
}

function togetherOf(definition: MetricDefinition | undefined): (a: number, b: number) => number {
  if (definition === undefined || definition.kind !== "gauge" || definition.together === "sum") return (a, b) => a + b;
  return definition.together === "least" ? Math.min : Math.max;
}
