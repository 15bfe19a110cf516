/** The headers of W3C Trace Context. */

/** Version 00 has exactly these fields; later versions may add some. */
const TRACEPARENT_00 = /^00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}$/;
const LATER_TRACEPARENT = /^(?!00|ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-[\x20-\x7e]{0,64})?$/;
/** Characters of a header value, up to the length that must be passed on. */
const TRACESTATE = /^[\t\x20-\x7e]{1,512}$/;

const SAMPLED = 1;

/** W3C Trace Context headers. An event has these members, too. */
export interface TraceHeaders {
  readonly traceparent: string | null;
  readonly tracestate: string | null;
}

export interface Traceparent {
  readonly traceId: string;
  readonly spanId: string;
  readonly isSampled: boolean;
}

export function isTraceparent(text: string): boolean {
  return TRACEPARENT_00.test(text) || LATER_TRACEPARENT.test(text);
}

/** False: not a header value, or too long; it is not passed on. */
export function isTracestate(text: string): boolean {
  return TRACESTATE.test(text);
}

export function parseTraceparent(text: string | null | undefined): Traceparent | null {
  if (text == null || !isTraceparent(text)) return null;
  const flags = Number.parseInt(text.slice(53, 55), 16);
  return { traceId: text.slice(3, 35), spanId: text.slice(36, 52), isSampled: (flags & SAMPLED) !== 0 };
}

/** @param flags only the sampled bit is passed on. */
export function formatTraceparent(traceId: string, spanId: string, flags: number): string {
  return `00-${traceId}-${spanId}-0${flags & SAMPLED}`;
}
