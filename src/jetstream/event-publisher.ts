/** Publishes events that arrived over HTTP, as any other service would. */
import type { Tracing } from "../delivery/tracing-ports.ts";
import { AppError } from "../model/app-error.ts";
import { natsReason, unreachableOr } from "./nats-errors.ts";
import type { PipelinedPublish } from "./pipelined-publish.ts";
import type { Subjects } from "./subjects.ts";

export interface OutgoingEvent {
  readonly resource: string;
  readonly action: string;
  readonly id: string;
  /** The Nats-Msg-Id. */
  readonly messageId: string;
  /** The event's JSON text as received, in bytes. */
  readonly body: Uint8Array;
  readonly contentType: string | null;
  readonly traceparent: string | null;
  readonly tracestate: string | null;
}

export interface StoredEvent {
  readonly stream: string;
  readonly sequence: number;
  /** An event with this id had already been stored within the duplicate window. */
  readonly duplicate: boolean;
}

/** @throws AppError PUBLISH_FAILED, STORE_FULL */
export type PublishEvent = (event: OutgoingEvent) => Promise<StoredEvent>;

/**
 * Resolves at the end of this turn of the event loop: the events of all calls that have arrived by then leave in one write, which would
 * cost more than all else of a publish.
 */
function createTurnEnd(): () => Promise<void> {
  let end: Promise<void> | null = null;
  return () => {
    end ??= new Promise((resolve) => {
      setImmediate(() => {
        end = null;
        resolve();
      });
    });
    return end;
  };
}

export function createEventPublisher(publish: PipelinedPublish, names: Subjects, tracing: Tracing): PublishEvent {
  const turnEnd = createTurnEnd();
  return ({ resource, action, id, messageId, body, contentType, ...caller }) => {
    const subject = names.event(resource, action);
    return tracing.publish(caller, subject, id, async ({ traceparent, tracestate }) => {
      const headers: Record<string, string> = { "Nats-Msg-Id": messageId };
      if (contentType !== null) headers["content-type"] = contentType;
      if (traceparent !== null) headers["traceparent"] = traceparent;
      if (tracestate !== null) headers["tracestate"] = tracestate;
      try {
        await turnEnd();
        const { stream, seq: sequence, duplicate = false } = await publish({ subject, body, headers });
        return { stream, sequence, duplicate };
      } catch (error) {
        const known = unreachableOr(error);
        if (known instanceof AppError && known.code === "STORE_FULL") throw known;
        throw new AppError("PUBLISH_FAILED", `the event was not stored: ${natsReason(error)}`, { retryable: true, cause: error });
      }
    });
  };
}
