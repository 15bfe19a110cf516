/**
 * Every Redis key (DESIGN 3.6), without POSTHORN_REDIS_KEY_PREFIX and a colon, which the connection puts before it. The braces are literal, they hold a key's tag: what has one tag is on one node of a cluster.
 * All of an app's keys have its tag, all of an installation's its uuid. Keys without a tag are written and read one by one there.
 */

export const keys = {
  /** List of the last attempts, newest first. */
  requests: (app: string, eventType: string): string => `request:{${app}}:${eventType}`,
  /** List of the last attempts that were not delivered, newest first. */
  errors: (app: string, eventType: string): string => `error:{${app}}:${eventType}`,
  /** When the app was made whose rows and stats there are, milliseconds since the epoch: those of an earlier one of its slug are gone. */
  appCreated: (app: string): string => `app-created:{${app}}`,
  /** Sorted set of the event types that have lists, scored by their last use. */
  eventTypes: (app: string): string => `event-types:{${app}}`,
  /** Hash of one installation's UTC day: success, error, timeout, fatal. */
  health: (installationUuid: string, day: string): string => `health:{${installationUuid}}:${day}`,
  /** Hash of an app's UTC day: `<hour> <outcome>` and `<hour> <bucket of latency-histogram.ts>` → attempts. */
  stats: (app: string, day: string): string => `stats:{${app}}:${day}`,
  /** Where one run of a delivery stands: `delivered` or `pending`, its event's place, its installation, its last attempt. */
  delivery: (app: string, mark: string): string => `delivery:{${app}}:${mark}`,
  /** How often one run of a delivery was stored in another stream. */
  stores: (app: string, mark: string): string => `stores:{${app}}:${mark}`,
  /** Hand-outs of a message that somebody gave back. */
  giveBacks: (stream: string, sequence: number): string => `give-backs:${stream}:${sequence}`,
  /** Where a delivery was stored last: stream, sequence, its event's place, its installation, its run. */
  place: (deliveryId: string): string => `place:${deliveryId}`,
  /** Hash of the deliveries of all events with this id: delivery id → the event's place in the EVENTS stream, the app, the installation. */
  addressees: (eventId: string): string => `addressees:${eventId}`,
  /** Hash of the messages that were skipped for a delivery: the event's place → the place of the one that was delivered, and when. */
  skipped: (deliveryId: string): string => `skipped:${deliveryId}`,
  /** Written to see whether Redis takes writes. */
  probe: (number: number): string => `probe:${number}`,
  /** How far a replay of dead letters is. */
  replay: (id: string): string => `replay:${id}`,
  /** Number of the last batch that a writer has written; on a cluster of the last with keys of that tag. */
  batch: (writer: string, tag: string | null): string => (tag === null ? `batch:${writer}` : `batch:{${tag}}:${writer}`),
} as const;
