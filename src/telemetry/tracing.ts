/**
 * One trace from publisher to receiver. Without the SDK no span is recorded, but every position is valid, so that the log line,
 * the request log and the receiver's traceparent carry the publisher's trace id. With the SDK each step is a span
 * (recording-tracing.ts).
 */
import type { Tracing } from "../delivery/tracing-ports.ts";
import { createRecordingTracing, type RecordingOptions } from "./recording-tracing.ts";
import { createTraceIds } from "./trace-ids.ts";
import { silentAttempt, silentPosition } from "./trace-position.ts";

/** @param recording null if no SDK was started */
export function createTracing(recording: RecordingOptions | null): Tracing {
  return recording === null ? createSilentTracing() : createRecordingTracing(recording);
}

function createSilentTracing(): Tracing {
  const ids = createTraceIds();
  return {
    process: (event, _stream, _message, work) => work(silentPosition(event, ids)),
    start: (_what, event, work) => work(silentPosition(event, ids)),
    deliver: (parent, _delivery, work) => work(parent),
    attempt: (parent) => silentAttempt(parent, ids),
    store: (parent, _stream, _delivery, _detail, work) => work(parent),
    fanOut: (parent, _event, work) => work(parent),
    publish: (caller, _subject, _eventId, work) => work(caller),
    batch: (_name, work) =>
      work({ store: (_stream, delivery, _detail, store) => store(delivery.event), fanOut: (event, store) => store(event) }),
    lateBatch() {},
  };
}
