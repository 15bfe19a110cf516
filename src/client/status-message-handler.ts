/**
 * Passes a status message to the subscriber's handler.
 *
 * SUBSCRIBE-4  An event is acknowledged when the handler has resolved, and redelivered after growing delays if it threw.
 */
import type { JsMsg } from "nats";
import { AppError } from "../model/app-error.ts";
import type { StatusEvent, StatusEventOf, StatusEventType } from "../model/status-event.ts";
import { ACK_WAIT_MS, type StatusFilter } from "./status-consumer.ts";
import type { StatusHandler } from "./status-options.ts";
import type { Position } from "./status-position.ts";

export interface MessageHandlerOptions<Type extends StatusEventType> {
  readonly stream: string;
  readonly filter: StatusFilter;
  readonly position: Position;
  readonly onEvent: StatusHandler<Type>;
  readonly onError: (error: unknown) => void;
}

const FIRST_BACKOFF_MS = 1_000;
const MAX_BACKOFF_MS = 5 * 60_000;

export function createMessageHandler<Type extends StatusEventType>(
  options: MessageHandlerOptions<Type>,
): (message: JsMsg) => Promise<void> {
  const { stream, filter, position, onEvent, onError } = options;
  return async (message) => {
    const { seq: sequence, subject } = message;
    const { redeliveryCount, timestampNanos: storedAt } = message.info;
    if (position.isHandled(sequence, storedAt)) return message.ack();
    const event = eventOf(message);
    if (event === null) {
      // Without an end it would block all events behind it.
      onError(new AppError("RECORD_INVALID", `${subject}: message ${sequence} of ${stream} is no status event; it is skipped`));
      return message.term();
    }
    const keepAlive = setInterval(() => message.working(), ACK_WAIT_MS / 3);
    try {
      if (isWanted(event, filter)) await onEvent(event as StatusEventOf<Type>, { subject, sequence, redelivered: redeliveryCount - 1 });
      position.addHandled(sequence, storedAt);
      message.ack();
    } catch (error) {
      onError(error);
      message.nak(Math.min(FIRST_BACKOFF_MS * 2 ** (redeliveryCount - 1), MAX_BACKOFF_MS));
    } finally {
      clearInterval(keepAlive);
    }
  };
}

function eventOf(message: JsMsg): StatusEvent | null {
  try {
    const event = message.json<StatusEvent | null>();
    return typeof event?.type === "string" && typeof event.data === "object" && event.data !== null ? event : null;
  } catch {
    return null;
  }
}

function isWanted({ type, data }: StatusEvent, { changes, app, installationUuid }: StatusFilter): boolean {
  if (changes !== undefined && !changes.includes(type)) return false;
  if (app !== undefined && data.app !== app) return false;
  return installationUuid === undefined || ("installation_uuid" in data && data.installation_uuid === installationUuid);
}
