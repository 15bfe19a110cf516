/**
 * The webhook's body (docs/design.md 3.4): `{"action":…,"installation":{"uuid":…},"data":…,"actor":…}`, compact, in that order.
 * `data` and `actor` are the publisher's own JSON text. The parts that all installations share are encoded once per event.
 */
import type { Event } from "../model/event.ts";

interface SharedParts {
  readonly event: Event;
  readonly head: Buffer;
  readonly tail: Buffer;
}

export interface EnvelopeBuilder {
  /** The exact bytes that are signed and sent. */
  body(event: Event, installationUuid: string): Buffer;
}

/** Size of the cache of shared parts: more events than one process handles in turn. */
const MAX_KEPT = 16;

/** @param defaultActorJson compact JSON, the actor of events that name none. */
export function createEnvelopeBuilder(defaultActorJson: string): EnvelopeBuilder {
  // A ring buffer: a Map or WeakMap would make the garbage collector keep each event for long.
  const kept: SharedParts[] = [];
  let last = MAX_KEPT - 1;

  const partsOf = (event: Event): SharedParts => {
    const newest = kept[last];
    if (newest?.event === event) return newest;
    const known = kept.find((one) => one.event === event);
    if (known !== undefined) return known;
    const actor = event.actorJson ?? defaultActorJson;
    const shared = {
      event,
      head: Buffer.from(`{"action":"${event.action}","installation":{"uuid":"`),
      tail: Buffer.from(`"},"data":${event.dataJson},"actor":${actor}}`),
    };
    last = (last + 1) % MAX_KEPT;
    kept[last] = shared;
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
