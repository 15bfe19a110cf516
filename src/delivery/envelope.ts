/**
 * The webhook's body (docs/design.md 3.4): `{"action":…,"installation":{"uuid":…},"data":…,"actor":…}`, compact, in that order.
 * `data` and `actor` are the publisher's own JSON text.
 *
 * BODY-1  All that the installations' webhooks have in common is encoded once per event and never copied as a whole, up to the socket: a
 *         fan-out to thousands of receivers that hang takes the memory of one body.
 */
import type { Event } from "../model/event.ts";

/** The exact bytes that are signed and sent: one after the other. */
export interface WebhookBody {
  /** ASCII. */
  readonly head: string;
  /** The same for all webhooks of the event. */
  readonly tail: Buffer;
}

export type EnvelopeBuilder = (event: Event, installationUuid: string) => WebhookBody;

/** @param defaultActorJson compact JSON, the actor of events that name none. */
export function createEnvelopeBuilder(defaultActorJson: string): EnvelopeBuilder {
  return (event, installationUuid) => {
    // Kept at the event: a Map or WeakMap would make the garbage collector keep each event for long.
    event.webhookTail ??= Buffer.from(`"},"data":${event.dataJson},"actor":${event.actorJson ?? defaultActorJson}}`);
    return { head: `{"action":"${event.action}","installation":{"uuid":"${installationUuid}`, tail: event.webhookTail };
  };
}

/** More than a request log shows. */
const SHOWN_BYTES = 4 * 1024;

export function startOfBody({ head, tail }: WebhookBody): Buffer {
  return Buffer.concat([Buffer.from(head, "latin1"), tail.subarray(0, SHOWN_BYTES)]);
}
