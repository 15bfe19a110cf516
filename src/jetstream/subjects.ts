/** Every subject, stream, bucket and consumer name, derived from the prefix (docs/design.md 3.1). */

export interface Subjects {
  readonly prefix: string;
  readonly streams: {
    readonly events: string;
    readonly retries: string;
    readonly parked: string;
    readonly deadLetters: string;
    readonly status: string;
  };
  readonly filters: {
    readonly events: readonly string[];
    readonly retries: readonly string[];
    readonly parked: readonly string[];
    readonly deadLetters: readonly string[];
    readonly status: readonly string[];
  };
  event(resource: string, action: string): string;
  /** @param type of the status event, `<subject>.<change>` */
  status(type: string, app: string, installationUuid: string | null): string;
  /** Wildcard over all status events. */
  readonly allStatus: string;
  /** A stream's subjects with placeholders, for span names: few, however many apps and tiers there are. */
  template(stream: string): string;
  retry(tierS: number, app: string): string;
  tierFilter(tierS: number): string;
  /** Parts of large fan-outs: tier 0 of the retries stream, due at once. */
  readonly fanOut: string;
  parked(app: string, installationUuid: string | null): string;
  deadLetter(app: string): string;
  /** Asks the owner of the queues what it attempts at the moment. In no stream, as is the next. */
  readonly inFlight: string;
  /** Between replicas. */
  readonly attemptCounts: string;
  /** What the registry bucket is stored in. */
  readonly registryStream: string;
  readonly eventsConsumer: string;
  readonly fanOutConsumer: string;
  tierConsumer(tierS: number): string;
  /** Of the replica that reads the events of ordered apps. */
  orderConsumer(term: string): string;
  parkedConsumer(app: string, installationUuid: string | null): string;
}

/** Beginning of the name of every consumer that Posthorn makes. */
export const CONSUMER_PREFIX = "posthorn-";

/** Dead letters that belong to no app: unreadable events. */
export const INVALID = "_invalid";

export function createSubjects(prefix: string): Subjects {
  const stream = (name: string): string => `${prefix}_${name}`.toUpperCase().replaceAll("-", "_");
  return {
    prefix,
    streams: {
      events: stream("EVENTS"),
      retries: stream("RETRIES"),
      parked: stream("PARKED"),
      deadLetters: stream("DEAD_LETTERS"),
      status: stream("STATUS"),
    },
    filters: {
      events: [`${prefix}.events.*.*`],
      retries: [`${prefix}.retries.*.*`],
      parked: [`${prefix}.parked.*`, `${prefix}.parked.*.*`],
      deadLetters: [`${prefix}.dead-letters.*`],
      status: [`${prefix}.status.*.*.*`, `${prefix}.status.*.*.*.*`],
    },
    event: (resource, action) => `${prefix}.events.${resource}.${action}`,
    status: (type, app, installationUuid) => `${prefix}.status.${type}.${app}${installationUuid === null ? "" : `.${installationUuid}`}`,
    allStatus: `${prefix}.status.>`,
    template(stream) {
      if (stream === "retries") return `${prefix}.retries.{tier}.{app}`;
      return stream === "fan-out" ? `${prefix}.retries.0._fan-out` : `${prefix}.${stream}.{app}`;
    },
    retry: (tierS, app) => `${prefix}.retries.${tierS}.${app}`,
    tierFilter: (tierS) => `${prefix}.retries.${tierS}.*`,
    fanOut: `${prefix}.retries.0._fan-out`,
    parked: (app, installationUuid) => `${prefix}.parked.${app}${installationUuid === null ? "" : `.${installationUuid}`}`,
    deadLetter: (app) => `${prefix}.dead-letters.${app}`,
    registryStream: `KV_${prefix}-registry`,
    eventsConsumer: `${CONSUMER_PREFIX}events`,
    fanOutConsumer: `${CONSUMER_PREFIX}fan-out`,
    orderConsumer: (term) => `${CONSUMER_PREFIX}order-${term}`,
    tierConsumer: (tierS) => `${CONSUMER_PREFIX}rung-${tierS}`,
    inFlight: `${prefix}.in-flight`,
    attemptCounts: `${prefix}.attempt-counts`,
    parkedConsumer: (app, installationUuid) =>
      `${CONSUMER_PREFIX}${installationUuid === null ? `app-${app}` : `installation-${installationUuid}`}`,
  };
}
