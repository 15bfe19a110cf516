/** The webhook's headers (docs/design.md 3.4). An app's custom headers never override Posthorn's own. */
import type { App } from "../model/app.ts";
import type { Delivery } from "../model/delivery.ts";
import { isReplayId } from "../model/replay.ts";
import type { Signatures } from "./signature.ts";
import type { TracePosition } from "./tracing-ports.ts";

export interface HeaderOptions {
  /** POSTHORN_HEADER_PREFIX, e.g. `Sentry-Hook`. */
  readonly prefix: string;
  readonly userAgent: string;
}

export interface HeaderFacts {
  readonly delivery: Delivery;
  readonly app: App;
  /** 32 hex digits, new for every attempt. */
  readonly requestId: string;
  readonly timestampS: number;
  readonly signatures: Signatures;
  readonly trace: TracePosition;
}

/** Names that belong to Posthorn or to the connection. Custom headers with these names are dropped. */
const RESERVED: ReadonlySet<string> = new Set([
  "connection",
  "content-encoding",
  "content-length",
  "content-type",
  "expect",
  "host",
  "keep-alive",
  "proxy-authorization",
  "proxy-connection",
  "request-id",
  "te",
  "traceparent",
  "tracestate",
  "trailer",
  "transfer-encoding",
  "upgrade",
  "user-agent",
  "webhook-id",
  "webhook-replay",
  "webhook-sequence",
  "webhook-signature",
  "webhook-timestamp",
]);

export type HeaderBuilder = (facts: HeaderFacts) => Record<string, string>;

export function createHeaderBuilder({ prefix, userAgent }: HeaderOptions): HeaderBuilder {
  const vendorPrefix = `${prefix.toLowerCase()}-`;
  const [resourceName, timestampName, signatureName] = [`${prefix}-Resource`, `${prefix}-Timestamp`, `${prefix}-Signature`];
  const customByApp = new WeakMap<App, ReadonlyArray<readonly [string, string]>>();

  const customOf = (app: App): ReadonlyArray<readonly [string, string]> => {
    let custom = customByApp.get(app);
    if (custom === undefined) {
      custom = Object.entries(app.headers).filter(([name]) => {
        const lower = name.toLowerCase();
        return !RESERVED.has(lower) && !lower.startsWith(vendorPrefix);
      });
      customByApp.set(app, custom);
    }
    return custom;
  };

  return ({ delivery, app, requestId, timestampS, signatures, trace }) => {
    const timestamp = String(timestampS);
    const headers: Record<string, string> = {
      "Content-Type": "application/json",
      "User-Agent": userAgent,
      "Request-ID": requestId,
      [resourceName]: delivery.event.resource,
      [timestampName]: timestamp,
      [signatureName]: signatures.vendor,
      "webhook-id": delivery.id,
      ...(delivery.eventSequence === null ? {} : { "webhook-sequence": String(delivery.eventSequence) }),
      ...(isReplayId(delivery.replay) ? { "webhook-replay": delivery.replay } : {}),
      "webhook-timestamp": timestamp,
      "webhook-signature": signatures.standard,
      traceparent: trace.traceparent,
    };
    if (trace.tracestate !== null) headers["tracestate"] = trace.tracestate;
    for (const [name, value] of customOf(app)) headers[name] = value;
    return headers;
  };
}
