/**
 * Every Redis key (DESIGN 3.6). The braces are literal, they hold a key's tag: what has one tag is on one node of a cluster.
 * All of an app's keys have its tag, all of an installation's its uuid. Keys without a tag are written and read one by one there.
 */

export const keys = {
  /** List of the last attempts, newest first. */
  requests: (app: string, eventType: string): string => `posthorn:request:{${app}}:${eventType}`,
  /** List of the last attempts that were not delivered, newest first. */
  errors: (app: string, eventType: string): string => `posthorn:error:{${app}}:${eventType}`,
  /** Sorted set of the event types that have lists, scored by their last use. */
  eventTypes: (app: string): string => `posthorn:event-types:{${app}}`,
  /** Hash of one installation's UTC day: success, error, timeout, fatal. */
  health: (installationUuid: string, day: string): string => `posthorn:health:{${installationUuid}}:${day}`,
  /** Hash of an app's UTC day: `<hour> <outcome>` and `<hour> <bucket of latency-histogram.ts>` → attempts. */
  stats: (app: string, day: string): string => `posthorn:stats:{${app}}:${day}`,
  /** Where one run of a delivery stands: `delivered` or `pending`, its event's place, its installation, its last attempt. */
  delivery: (app: string, mark: string): string => `posthorn:delivery:{${app}}:${mark}`,
  /** How often one run of a delivery was stored in another stream. */
  stores: (app: string, mark: string): string => `posthorn:stores:{${app}}:${mark}`,
  /** Hand-outs of a message that somebody gave back. */
  giveBacks: (stream: string, sequence: number): string => `posthorn:give-backs:${stream}:${sequence}`,
  /** Where a delivery was stored last: lane, sequence, its event's place, its installation, its run. */
  place: (deliveryId: string): string => `posthorn:place:${deliveryId}`,
  /** Hash of an event's deliveries: installation → the event's place in the EVENTS stream, and the app. */
  addressees: (eventId: string): string => `posthorn:addressees:${eventId}`,
  /** How far a replay of dead letters is. */
  replay: (id: string): string => `posthorn:replay:${id}`,
  /** Number of the last batch that a writer has written; on a cluster of the last with keys of that tag. */
  batch: (writer: string, tag: string | null): string => (tag === null ? `posthorn:batch:${writer}` : `posthorn:batch:{${tag}}:${writer}`),
} as const;
