/**
 * The webhook's body (DESIGN 3.4): `{"action":…,"installation":{"uuid":…},"data":…,"actor":…}`, compact, in that order.
 * `data` and `actor` are the publisher's own JSON text. What all installations share is encoded once per event.
 */
import type { Event } from "../model/event.ts";

interface SharedParts {
  readonly head: Buffer;
  readonly tail: Buffer;
}

export interface EnvelopeBuilder {
  /** The exact bytes that are signed and sent. */
  body(event: Event, installationUuid: string): Buffer;
}

/**
 * Events whose shared parts are kept: many more than take turns in one process. A WeakMap would need no bound, but its
 * entries live until the next full collection, which costs more than all the rest of this file.
 */
const MAX_KEPT = 64;

/** @param defaultActorJson compact JSON, the actor of events that name none. */
export function createEnvelopeBuilder(defaultActorJson: string): EnvelopeBuilder {
  const parts = new Map<Event, SharedParts>();

  const partsOf = (event: Event): SharedParts => {
    let shared = parts.get(event);
    if (shared === undefined) {
      const actor = event.actorJson ?? defaultActorJson;
      shared = {
        head: Buffer.from(`{"action":"${event.action}","installation":{"uuid":"`),
        tail: Buffer.from(`"},"data":${event.dataJson},"actor":${actor}}`),
      };
      if (parts.size >= MAX_KEPT) parts.clear();
      parts.set(event, shared);
    }
    return shared;
  };

  return {
    body(event, installationUuid) {
      const { head, tail } = partsOf(event);
      const body = Buffer.allocUnsafe(head.length + installationUuid.length + tail.length);
      head.copy(body, 0);
      body.write(installationUuid, head.length, "latin1");
      tail.copy(body, head.length + installationUuid.length);
      return body;
    },
  };
}
