/**
 * Formats every Redis key (docs/design.md 3.6); the connection adds POSTHORN_REDIS_KEY_PREFIX and a colon. The braces are literal:
 * they hold a key's hash tag, and keys with one tag are on one node of a cluster. An app's keys have its slug as tag, an
 * installation's its uuid. Keys without a tag are written and read one by one on a cluster.
 */

export const keys = {
  /** List of the last attempts, newest first. */
  requests: (app: string, eventType: string): string => `request:{${app}}:${eventType}`,
  /** List of the last attempts that were not delivered, newest first. */
  errors: (app: string, eventType: string): string => `error:{${app}}:${eventType}`,
  /** When the app of these rows and stats was created, milliseconds since the epoch (BATCH-2). */
  appCreated: (app: string): string => `app-created:{${app}}`,
  /** Sorted set of the event types that have lists, scored by their last use. */
  eventTypes: (app: string): string => `event-types:{${app}}`,
  /** Hash of one installation's UTC day: success, error, timeout, fatal. */
  health: (installationUuid: string, day: string): string => `health:{${installationUuid}}:${day}`,
  /** Hash of an app's UTC day: `<hour> <outcome>` and `<hour> <bucket of latency-histogram.ts>` → attempts. */
  stats: (app: string, day: string): string => `stats:{${app}}:${day}`,
  /** Hash of a quarter of an hour, see recent-attempts.ts and minute-stats.ts. */
  recent: (app: string, createdAt: number, quarter: number): string => `recent:{${app}}:${createdAt}:${quarter}`,
  /** Hash: when the app was created → when a delivery to it last succeeded, milliseconds since the epoch. */
  lastSuccess: (app: string): string => `last-success:{${app}}`,
  /** Root of the packed dedup records of an app's first runs (packed-hash.ts). @param period empty: all of them */
  dedup: (app: string, period: number | ""): string => `dedup:{${app}}:${period}`,
  /** Root of the packed notes of which deliveries the events have whose ids have this digit as hash. @param period as above */
  eventDeliveries: (digit: string, period: number | ""): string => `event-deliveries:{${digit}}:${period}`,
  /** State of one resend or replay: `delivered` or `pending`, its event's sequence, its installation, its last attempt. */
  delivery: (app: string, dedupKey: string): string => `delivery:{${app}}:${dedupKey}`,
  /** How often one run of a delivery, for one message of its event, was stored in another stream. */
  stores: (app: string, storeKey: string): string => `stores:{${app}}:${storeKey}`,
  /** Hand-outs of a message that a replica gave back. */
  giveBacks: (stream: string, sequence: number): string => `give-backs:${stream}:${sequence}`,
  /** Hand-outs by the owner of the queues that have not ended: of a delivery of an event, or (null) of a message that is read. */
  handOuts: (stream: string, sequence: number, dedupKey: string | null): string => `hand-outs:${stream}:${sequence}:${dedupKey ?? "-"}`,
  /** Where a delivery was stored last: stream, sequence, its event's sequence, its installation, its run. */
  location: (deliveryId: string): string => `place:${deliveryId}`,
  /** Written by version 0.1: hash of the deliveries of all events with this id → the event's sequence, the app, the installation. */
  addressees: (eventId: string): string => `addressees:${eventId}`,
  /** Hash of the messages skipped for a delivery: the event's sequence → the delivered event's sequence, and when. */
  skipped: (deliveryId: string): string => `skipped:${deliveryId}`,
  /** Hash: the minute of an app's `delivery.*` events, its start and their number. One tag, because a script changes both keys. */
  eventMinute: (app: string): string => `delivery-events:{suppressed}:${app}`,
  /** Hash: app and start of a minute → `delivery.*` events that were not published. */
  suppressed: "delivery-events:{suppressed}",
  /** When the token bucket of the app's rate limit is full again, microseconds since the epoch by Redis's clock. */
  rateLimit: (app: string): string => `rate-limit:{${app}}`,
  /** Written to see whether Redis takes writes. */
  probe: (number: number): string => `probe:${number}`,
  /** Hash with one field, `done`: how many deliveries a replay has delivered. */
  replayDone: (app: string, replayId: string): string => `replay-done:{${app}}:${replayId}`,
  /** Hash whose fields are the deliveries of a replay that went to dead letters. */
  replayFailed: (app: string, replayId: string): string => `replay-failed:{${app}}:${replayId}`,
  /** Number of the last batch that a writer has written, on a cluster the last one with keys of that tag. */
  batch: (writer: string, tag: string | null): string => (tag === null ? `batch:${writer}` : `batch:{${tag}}:${writer}`),
} as const;
