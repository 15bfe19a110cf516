/**
 * When two events are the same (docs/design.md 6.1): a CloudEvent is identified by its source and id, a plain event
 * by its type and id.
 *
 * KEY-1  Neither sources nor types contain a line feed, so that different keys never have the same text.
 */
import { hash } from "node:crypto";
import type { Event } from "./event.ts";

export type EventIdentity = Pick<Event, "id" | "source" | "type">;

export function eventKey({ id, source, type }: EventIdentity): string {
  return source === null ? `ev\n${type}\n${id}` : `ce\n${source}\n${id}`;
}

/** `dlv_` + the first 32 hex digits of SHA-256 over the event's key and, on a line of its own, the installation's uuid. */
export function deliveryId(event: EventIdentity, installationUuid: string): string {
  return `dlv_${digest(`${eventKey(event)}\n${installationUuid}`)}`;
}

/** The Nats-Msg-Id under which an event is published: JetStream stores the same event once within its duplicate window. */
export function eventMessageId(event: EventIdentity): string {
  return `evt_${digest(eventKey(event))}`;
}

function digest(text: string): string {
  return hash("sha256", text, "hex").slice(0, 32);
}
