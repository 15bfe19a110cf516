/**
 * Draws docs/trace.svg, a whole trace of a real run: an event that one app gets at once, another after a retry, and a third
 * when its installation is enabled again. Run it with: npm run example -- scripts/trace-picture.ts
 */
import { writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { trace } from "@opentelemetry/api";
import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-http";
import { resourceFromAttributes } from "@opentelemetry/resources";
import { SimpleSpanProcessor, TracerProvider } from "@opentelemetry/sdk-trace";
import { createPublisher } from "../src/client/client.ts";
import { type ExportedSpan, startOtlpCollector } from "../test/support/otlp-collector.ts";
import { connectBus, startPosthorn } from "../test/support/posthorn.ts";
import { answer, startReceiver } from "../test/support/receiver.ts";
import { startNatsServer, startRedisServer } from "./servers.mjs";

const ROW = 22;
const LABELS = 520;
const CHART = 420;
const WIDTH = LABELS + CHART + 90;
/** Breaks in the axis: what lies between two spans is shown no wider. */
const LONGEST_GAP_MS = 15;
const COLOURS: Readonly<Record<number, string>> = { 1: "#7a8aa0", 3: "#2f7ed8", 4: "#3a9d5d", 5: "#b0702f" };
const KINDS: Readonly<Record<number, string>> = { 1: "internal", 3: "client", 4: "producer", 5: "consumer" };

const [nats, redis, collector, good] = await Promise.all([startNatsServer(), startRedisServer(), startOtlpCollector(), startReceiver()]);
const flaky = await startReceiver(answer(503, "busy"));
const posthorn = await startPosthorn({
  nats,
  redis,
  prefix: "app-platform",
  settings: { OTEL_EXPORTER_OTLP_ENDPOINT: collector.url, OTEL_BSP_SCHEDULE_DELAY: "50" },
});
await posthorn.install({ slug: "tracker", webhook_url: `${good.url}/tracker` });
await posthorn.install({ slug: "pager", webhook_url: `${flaky.url}/pager`, retry_schedule_s: [1] });
const parked = await posthorn.install({ slug: "archive", webhook_url: `${good.url}/archive` });
await posthorn.api("POST", `/v1/installations/${parked.uuid}/disable`);

const provider = new TracerProvider({
  resource: resourceFromAttributes({ "service.name": "issues" }),
  spanProcessors: [new SimpleSpanProcessor({ exporter: new OTLPTraceExporter({ url: `${collector.url}/v1/traces` }) })],
});
trace.setGlobalTracerProvider(provider);
const bus = await connectBus(nats, posthorn.prefix);
const publisher = await createPublisher({ nats: bus.connection });
const { traceId } = await publisher.publish({ type: "issue.created", organizationId: "42", data: { issue: { id: "1" } } });
await provider.forceFlush();
await flaky.waitFor(1);
flaky.behave(answer(200));
await flaky.waitFor(2);
await new Promise((resolve) => setTimeout(resolve, 2_000));
await posthorn.api("POST", `/v1/installations/${parked.uuid}/enable`);
await good.waitFor(2);
await posthorn.end();
await Promise.all([bus.close(), good.stop(), flaky.stop(), nats.stop(), redis.stop(), collector.stop()]);

interface Row {
  readonly span: ExportedSpan;
  readonly depth: number;
}

const spans = collector.spans.filter((span) => span.traceId === traceId).sort((a, b) => startOf(a) - startOf(b));
const rows: Row[] = [];
const add = (parent: string | undefined, depth: number): void => {
  for (const span of spans) {
    if ((span.parentSpanId || undefined) !== parent) continue;
    rows.push({ span, depth });
    add(span.spanId, depth + 1);
  }
};
add(undefined, 0);
if (rows.length !== spans.length) throw new Error(`${spans.length - rows.length} of ${spans.length} spans have no parent in the trace`);
writeFileSync(fileURLToPath(new URL("../docs/trace.svg", import.meta.url)), draw());
console.log(`docs/trace.svg: ${rows.length} spans`);
process.exit(0);

function startOf(span: ExportedSpan): number {
  return Number(span.startTimeUnixNano) / 1e6;
}

function endOf(span: ExportedSpan): number {
  return Number(span.endTimeUnixNano) / 1e6;
}

/** From times to places on an axis whose long gaps are cut. */
function axis(): { at: (time: number) => number; gaps: Array<{ at: number; ms: number }> } {
  const times = [...new Set(spans.flatMap((span) => [startOf(span), endOf(span)]))].sort((a, b) => a - b);
  const place = new Map<number, number>();
  const cuts: Array<{ at: number; ms: number }> = [];
  let covered = 0;
  for (const [index, time] of times.entries()) {
    const before = times[index - 1];
    if (before !== undefined) {
      const isIdle = !spans.some((span) => startOf(span) <= before && endOf(span) >= time);
      const gap = time - before;
      if (isIdle && gap > LONGEST_GAP_MS) {
        covered += LONGEST_GAP_MS;
        cuts.push({ at: covered - LONGEST_GAP_MS / 2, ms: gap });
      } else covered += gap;
    }
    place.set(time, covered);
  }
  const scale = CHART / covered;
  return {
    at: (time) => LABELS + (place.get(time) ?? 0) * scale,
    gaps: cuts.map(({ at, ms }) => ({ at: LABELS + at * scale, ms })),
  };
}

function labelOf({ name, attributes }: ExportedSpan): string {
  const detail = attributes["posthorn.detail"];
  const app = attributes["posthorn.app"];
  const status = attributes["http.response.status_code"];
  if (status !== undefined) return `${name} ${new URL(String(attributes["url.full"])).pathname} → ${status}`;
  if (name === "deliver") return `deliver to ${app}`;
  return detail === undefined ? name : `${name} (${detail})`;
}

function draw(): string {
  const { at, gaps } = axis();
  const height = (rows.length + 2) * ROW + 10;
  const rowOf = new Map(rows.map(({ span }, index) => [span.spanId, index]));
  const y = (index: number): number => (index + 1) * ROW;
  const parts = rows.map(({ span, depth }, index) => {
    const [from, to] = [at(startOf(span)), at(endOf(span))];
    const colour = span.status.code === 2 ? "#c0392b" : (COLOURS[span.kind] ?? "#7a8aa0");
    const label = labelOf(span).replaceAll("&", "&amp;").replaceAll("<", "&lt;");
    const duration = endOf(span) - startOf(span);
    return [
      `<text x="${10 + depth * 16}" y="${y(index) + 15}">${depth === 0 ? "" : "└ "}${label}</text>`,
      `<rect x="${from.toFixed(1)}" y="${y(index) + 4}" width="${Math.max(3, to - from).toFixed(1)}" height="${ROW - 9}" rx="2" fill="${colour}"/>`,
      `<text x="${(Math.max(from + 3, to) + 6).toFixed(1)}" y="${y(index) + 15}" class="small">${duration.toFixed(1)} ms</text>`,
    ].join("\n");
  });
  const links = rows.flatMap(({ span }, index) =>
    (span.links ?? []).flatMap(({ spanId }) => {
      const target = rowOf.get(spanId);
      const linked = target === undefined ? undefined : rows[target]?.span;
      if (target === undefined || linked === undefined || spanId === span.parentSpanId) return [];
      const [x1, y1, x2, y2] = [at(endOf(linked)), y(target) + ROW / 2, at(startOf(span)), y(index) + ROW / 2];
      return [`<path d="M${x1.toFixed(1)} ${y1} L${x2.toFixed(1)} ${y2}" class="link"/>`];
    }),
  );
  const breaks = gaps.map(
    ({ at: x, ms }) =>
      `<path d="M${x.toFixed(1)} ${ROW} V${y(rows.length)}" class="gap"/><text x="${x.toFixed(1)}" y="15" class="small middle">${ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`}</text>`,
  );
  const legend = Object.entries(KINDS).map(
    ([kind, name], index) =>
      `<rect x="${10 + index * 100}" y="${y(rows.length) + 12}" width="12" height="12" rx="2" fill="${COLOURS[Number(kind)]}"/><text x="${28 + index * 100}" y="${y(rows.length) + 22}" class="small">${name}</text>`,
  );
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" font-family="ui-monospace, monospace" font-size="12">
<title>A whole trace, from the publisher to three receivers</title>
<style>text { fill: #222 } .small { font-size: 11px; fill: #666 } .middle { text-anchor: middle } .gap { stroke: #bbb; stroke-dasharray: 3 3 } .link { stroke: #999; stroke-dasharray: 2 3; fill: none }</style>
<rect width="${WIDTH}" height="${height}" fill="#fff"/>
${[...breaks, ...links, ...parts, ...legend].join("\n")}
<text x="${10 + 4 * 100}" y="${y(rows.length) + 22}" class="small">red: failed; dotted: a link to the publisher's span; the axis is cut where nothing happened</text>
</svg>
`;
}
