/** An event, as the rest of Posthorn sees it. event-reader.ts reads it off the bus. */
export interface Event {
  /** Identifies the event together with `source`, or with `type` if there is no source (event-key.ts). */
  readonly id: string;
  /** The CloudEvents attribute; null for a plain event. */
  readonly source: string | null;
  readonly resource: string;
  readonly action: string;
  /** `<resource>.<action>`. */
  readonly type: string;
  readonly organizationId: string;
  /** Limits the recipients to one installation. */
  readonly installationUuid: string | null;
  /** Limits the recipients to one app. */
  readonly app: string | null;
  readonly projectId: string | null;
  /** The publisher's JSON text of `data`, compact, key order and number text kept. */
  readonly dataJson: string;
  /** Likewise; null: the default actor (POSTHORN_DEFAULT_ACTOR). */
  readonly actorJson: string | null;
  /** RFC 3339 UTC with milliseconds. */
  readonly occurredAt: string;
  /** When the events stream stored it, milliseconds since the epoch. */
  readonly publishedAt: number;
  /** W3C trace context of the publisher, or null. */
  readonly traceparent: string | null;
  readonly tracestate: string | null;
  /** The part that all its webhooks have in common, once one was made (delivery/envelope.ts). No encoding has it. */
  webhookTail?: Buffer;
}

/** A resource or an action, as a subject token. */
export const EVENT_TOKEN = /^[a-z0-9_]{1,64}$/;
