/**
 * Spans of work that belongs to many traces at once.
 *
 * TRACE-3  A replay, and a batch written to Redis, has a trace of its own with links to the others. It starts with the first sampled
 *     part, so that the sampler sees it, and only sampled parts are linked.
 */
import { type Attributes, SpanKind } from "@opentelemetry/api";
import type { StoredMessageRef, StreamName } from "../delivery/ports.ts";
import type { LateBatch, TraceBatch } from "../delivery/tracing-ports.ts";
import type { Delivery } from "../model/delivery.ts";
import type { Event } from "../model/event.ts";
import type { TraceHeaders } from "../model/trace-context.ts";
import { failWith, type StartedSpan } from "./recorded-span.ts";
import { lateBatchAttributes } from "./span-attributes.ts";
import { linksTo } from "./spans.ts";
import { isSampled } from "./trace-position.ts";
import type { Tracer } from "./tracer.ts";

/** OpenTelemetry's limit on the links of a span. */
const MAX_LINKS = 128;

export interface PartSpans {
  readonly tracer: Tracer;
  readonly startStore: (parent: TraceHeaders, stream: StreamName, delivery: Delivery, detail: string) => StartedSpan;
  readonly storeWithin: (span: StartedSpan, work: (trace: TraceHeaders) => Promise<StoredMessageRef>) => Promise<StoredMessageRef>;
  readonly startFanOut: (parent: TraceHeaders, event: Event) => StartedSpan;
  readonly fanOutWithin: (span: StartedSpan, work: (trace: TraceHeaders) => Promise<number>) => Promise<void>;
}

export async function recordBatch<T>(name: string, work: (batch: TraceBatch) => Promise<T>, parts: PartSpans): Promise<T> {
  const { tracer, startStore, storeWithin, startFanOut, fanOutWithin } = parts;
  const startedAt = Date.now();
  let span: StartedSpan | undefined;
  let linked = 0;
  let stored = 0;
  /** TRACE-3 */
  const link = (part: StartedSpan): void => {
    const context = part.spanContext();
    if (!isSampled(context)) return;
    if (span === undefined) span = tracer.start(name, null, { startedAt, links: [{ context }] });
    else if (linked < MAX_LINKS) span.addLink(context);
    linked++;
    if (isSampled(span.spanContext())) part.addLink(span.spanContext());
  };
  try {
    return await work({
      async store(stream, delivery, detail, store) {
        const part = startStore(delivery.event, stream, delivery, detail);
        link(part);
        await storeWithin(part, store);
        stored++;
        span?.setAttributes({ "posthorn.deliveries": stored });
      },
      async fanOut(event, store) {
        const part = startFanOut(event, event);
        link(part);
        await fanOutWithin(part, store);
      },
    });
  } catch (error) {
    if (span !== undefined) failWith(span, error);
    throw error;
  } finally {
    span?.end();
  }
}

export function recordLateBatch(tracer: Tracer, batch: LateBatch, server: Attributes): void {
  const links = linksTo(batch.traceparents.map((traceparent) => ({ traceparent, tracestate: null }))).filter(({ context }) =>
    isSampled(context),
  );
  if (links.length === 0) return;
  const attributes = lateBatchAttributes(batch, server);
  const options = { kind: SpanKind.CLIENT, attributes, links: links.slice(0, MAX_LINKS), startedAt: batch.startedAt };
  tracer.start("EVALSHA write-batch", null, options).end(batch.endedAt);
}
