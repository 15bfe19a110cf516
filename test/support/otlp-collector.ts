/** An OTLP/HTTP receiver (JSON and protobuf): keeps every span and the last export of metrics that is sent to it. */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { eventually } from "./eventually.ts";
import { decodeOtlp } from "./otlp-protobuf.ts";

export interface ExportedSpan {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly name: string;
  readonly kind: number;
  readonly startTimeUnixNano: string;
  readonly endTimeUnixNano: string;
  readonly attributes: Record<string, unknown>;
  readonly status: { readonly code?: number; readonly message?: string };
  readonly links?: ReadonlyArray<{ readonly traceId: string; readonly spanId: string }>;
}

export interface ExportedPoint {
  readonly attributes: Record<string, unknown>;
  readonly asInt?: string | number;
  readonly asDouble?: number;
  readonly count?: string | number;
  readonly sum?: number;
  readonly bucketCounts?: ReadonlyArray<string | number>;
  readonly explicitBounds?: readonly number[];
}

export interface ExportedMetric {
  readonly name: string;
  readonly unit: string;
  readonly description: string;
  readonly kind: "sum" | "gauge" | "histogram";
  /** Of gauges there is none. */
  readonly temporality: "delta" | "cumulative" | null;
  readonly isMonotonic: boolean;
  readonly points: readonly ExportedPoint[];
}

export const SPAN_KIND = { internal: 1, server: 2, client: 3, producer: 4, consumer: 5 } as const;

export interface OtlpCollector {
  readonly url: string;
  readonly spans: ExportedSpan[];
  /** Of the last export, by name. */
  readonly metrics: Map<string, ExportedMetric>;
  /** The attributes of the resources of all exports. */
  readonly resources: Array<Record<string, unknown>>;
  /** Every body, as text. */
  readonly bodies: string[];
  /** Of each body. */
  readonly contentTypes: string[];
  /** Waits for spans that match, at least so many. */
  waitFor(matches: (span: ExportedSpan) => boolean, count?: number): Promise<ExportedSpan[]>;
  stop(): Promise<void>;
}

export async function startOtlpCollector(): Promise<OtlpCollector> {
  const spans: ExportedSpan[] = [];
  const metrics = new Map<string, ExportedMetric>();
  const resources: Array<Record<string, unknown>> = [];
  const bodies: string[] = [];
  const contentTypes: string[] = [];
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      const bytes = Buffer.concat(chunks);
      const contentType = request.headers["content-type"] ?? "";
      contentTypes.push(contentType);
      bodies.push(bytes.toString());
      const isProtobuf = contentType === "application/x-protobuf";
      const body: { resourceSpans?: any[]; resourceMetrics?: any[] } = isProtobuf
        ? decodeOtlp(request.url ?? "", bytes)
        : JSON.parse(bytes.toString());
      for (const { resource, scopeSpans } of body.resourceSpans ?? []) {
        resources.push(attributesOf(resource.attributes));
        for (const { spans: exported } of scopeSpans)
          for (const span of exported) spans.push({ ...span, attributes: attributesOf(span.attributes) });
      }
      if (body.resourceMetrics !== undefined) metrics.clear();
      for (const { resource, scopeMetrics } of body.resourceMetrics ?? []) {
        resources.push(attributesOf(resource.attributes));
        for (const { metrics: exported } of scopeMetrics) for (const metric of exported) metrics.set(metric.name, metricOf(metric));
      }
      response.writeHead(200, { "content-type": contentType }).end(isProtobuf ? "" : "{}");
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    spans,
    metrics,
    resources,
    bodies,
    contentTypes,
    waitFor: (matches, count = 1) =>
      eventually(() => {
        const found = spans.filter(matches);
        if (found.length < count) throw new Error(`${found.length} of ${count} spans came`);
        return found;
      }),
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

function attributesOf(attributes: ReadonlyArray<{ key: string; value: object }> = []): Record<string, unknown> {
  return Object.fromEntries(attributes.map(({ key, value }) => [key, Object.values(value)[0]]));
}

function metricOf(metric: any): ExportedMetric {
  const kind = metric.sum ? "sum" : metric.gauge ? "gauge" : "histogram";
  const { dataPoints = [], isMonotonic = false, aggregationTemporality = 0 } = metric[kind] ?? {};
  const temporality = ([null, "delta", "cumulative"] as const)[aggregationTemporality as number] ?? null;
  const points = dataPoints.map((point: any) => ({ ...point, attributes: attributesOf(point.attributes) }));
  return { name: metric.name, unit: metric.unit, description: metric.description, kind, temporality, isMonotonic, points };
}
