/**
 * The name of every subject, stream, bucket and consumer (docs/design.md 3.1), derived from the prefix. Subjects are formatted and
 * parsed here and nowhere else. A parser returns null for a subject of another form.
 */
import { STOPS } from "../model/key-stop.ts";
import type { StatusEvent, StatusTopic } from "../model/status-event.ts";

export interface EventSubject {
  readonly resource: string;
  readonly action: string;
}

export interface RetrySubject {
  readonly tierS: number;
  readonly app: string;
}

export interface ParkedSubject {
  readonly app: string;
  /** Null: the app's own queue; STOPS: what stops its keys. */
  readonly installationUuid: string | null;
}

export interface Subjects {
  readonly prefix: string;
  readonly streams: {
    readonly events: string;
    readonly retries: string;
    readonly parked: string;
    readonly deadLetters: string;
    readonly status: string;
  };
  /** The subjects that each stream stores. */
  readonly filters: {
    readonly events: readonly string[];
    readonly retries: readonly string[];
    readonly parked: readonly string[];
    readonly deadLetters: readonly string[];
    readonly status: readonly string[];
  };

  event(resource: string, action: string): string;
  parseEvent(subject: string): EventSubject | null;
  /** @param type of the status event, `<subject>.<change>` */
  status(type: string, app: string, installationUuid: string | null): string;
  statusOf(event: StatusEvent): string;
  /** A stream's subjects with placeholders, for span names: few, however many apps and tiers there are. */
  template(stream: string): string;

  retry(tierS: number, app: string): string;
  parseRetry(subject: string): RetrySubject | null;
  tierFilter(tierS: number): string;
  /** One app's retries in all tiers. @param app null: all apps */
  retriesFilter(app: string | null): string;
  /** Fan-out batches: tier 0 of the retries stream, due at once. */
  readonly fanOut: string;

  parked(app: string, installationUuid: string | null): string;
  parseParked(subject: string): ParkedSubject | null;
  /** The app's own queue, and the queues of its installations. @param app null: all apps, with what stops their keys */
  parkedFilters(app: string | null): readonly [appQueues: string, installationQueues: string];
  readonly allParked: string;

  /** @param app null: the dead letter belongs to no app */
  deadLetter(app: string | null): string;
  /** @returns `app` is null for a dead letter that belongs to no app */
  parseDeadLetter(subject: string): { readonly app: string | null } | null;
  /** @param app null: all dead letters */
  deadLettersFilter(app: string | null): string;

  /** Events of apps, and of their installations. @param app null: all apps */
  statusFilters(topic: StatusTopic, app: string | null): readonly string[];
  readonly allStatus: string;

  /** Asks the owner of the queues which deliveries it is attempting. This subject and the next six belong to no stream. */
  readonly inFlight: string;
  /** Asks the owner of the queues about the order of deliveries. */
  readonly order: string;
  /** Dead letters were removed. */
  readonly removedDeadLetters: string;
  /** Attempt counts that replicas exchange. */
  readonly attemptCounts: string;
  /** Replicas say here that they are alive, and which revision they have seen. */
  readonly replicas: string;
  /** Asks the owner of the queues to make an app's retries due now. */
  readonly retryNow: string;
  /** Retries that are stored again, and due now. */
  readonly movedRetries: string;

  /** The audit stream (jetstream/audit-stream.ts). */
  readonly audit: {
    readonly name: string;
    readonly subjects: readonly string[];
    /** @param app null: of no app */
    subject(app: string | null): string;
    /** @param app null: all */
    filter(app: string | null): string;
  };

  /** The stream that stores the registry bucket. */
  readonly registryStream: string;

  readonly eventsConsumer: string;
  readonly fanOutConsumer: string;
  tierConsumer(tierS: number): string;
  /** The consumer of the replica that reads the events of ordered apps. */
  orderConsumer(term: string): string;
  parkedConsumer(app: string, installationUuid: string | null): string;
}

/** Every consumer that Posthorn creates begins with it. */
export const CONSUMER_PREFIX = "posthorn-";

/** Takes the place of the app in the subject of a dead letter that belongs to no app. No slug begins with `_`. */
const NO_APP = "_invalid";

/** Takes the place of the app in the subject of a change that belongs to none. */
const NO_APP_OF_CHANGE = "_none";

export function createSubjects(prefix: string): Subjects {
  const stream = (name: string): string => `${prefix}_${name}`.toUpperCase().replaceAll("-", "_");
  const deadLettersOf = (token: string): string => `${prefix}.dead-letters.${token}`;
  const parked = (app: string, installationUuid: string | null): string => `${prefix}.parked.${parkedTokens(app, installationUuid)}`;
  /** The tokens after `<prefix>.<name>.`, or null when the subject begins otherwise. */
  const tokensOf = (subject: string, name: string): readonly string[] | null => {
    const [first, second, ...tokens] = subject.split(".");
    return first === prefix && second === name && tokens.length > 0 ? tokens : null;
  };

  const status = (type: string, app: string, installationUuid: string | null): string =>
    `${prefix}.status.${type}.${app}${installationUuid === null ? "" : `.${installationUuid}`}`;

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
      deadLetters: [deadLettersOf("*")],
      status: [`${prefix}.status.*.*.*`, `${prefix}.status.*.*.*.*`],
    },

    event: (resource, action) => `${prefix}.events.${resource}.${action}`,
    parseEvent(subject) {
      const [resource, action, ...more] = tokensOf(subject, "events") ?? [];
      return resource === undefined || action === undefined || more.length > 0 ? null : { resource, action };
    },
    status,
    statusOf: ({ type, data }) => status(type, data.app, "installation_uuid" in data ? data.installation_uuid : null),
    template(stream) {
      if (stream === "retries") return `${prefix}.retries.{tier}.{app}`;
      return stream === "fan-out" ? `${prefix}.retries.0._fan-out` : `${prefix}.${stream}.{app}`;
    },

    retry: (tierS, app) => `${prefix}.retries.${tierS}.${app}`,
    parseRetry(subject) {
      const [tier, app, ...more] = tokensOf(subject, "retries") ?? [];
      if (tier === undefined || app === undefined || more.length > 0 || !/^\d+$/.test(tier)) return null;
      return { tierS: Number(tier), app };
    },
    tierFilter: (tierS) => `${prefix}.retries.${tierS}.*`,
    retriesFilter: (app) => `${prefix}.retries.*.${app ?? "*"}`,
    fanOut: `${prefix}.retries.0._fan-out`,

    parked,
    parseParked: (subject) => parkedIn(tokensOf(subject, "parked") ?? []),
    parkedFilters: (app) => [parked(app ?? "*", null), parked(app ?? "*", "*")],
    allParked: `${prefix}.parked.>`,

    deadLetter: (app) => deadLettersOf(app ?? NO_APP),
    parseDeadLetter(subject) {
      const [app, ...more] = tokensOf(subject, "dead-letters") ?? [];
      return app === undefined || more.length > 0 ? null : { app: app === NO_APP ? null : app };
    },
    deadLettersFilter: (app) => deadLettersOf(app ?? "*"),

    statusFilters(topic, app) {
      const ofApp = `${prefix}.status.${topic}.*.${app ?? "*"}`;
      if (topic === "delivery") return [ofApp, `${ofApp}.*`];
      return [topic === "integration" ? `${ofApp}.*` : ofApp];
    },
    allStatus: `${prefix}.status.>`,

    inFlight: `${prefix}.in-flight`,
    ...{ order: `${prefix}.order`, removedDeadLetters: `${prefix}.removed-dead-letters` },
    attemptCounts: `${prefix}.attempt-counts`,
    replicas: `${prefix}.replicas`,
    retryNow: `${prefix}.retry-now`,
    movedRetries: `${prefix}.moved-retries`,

    audit: {
      name: stream("AUDIT"),
      subjects: [`${prefix}.audit.*`],
      subject: (app) => `${prefix}.audit.${app ?? NO_APP_OF_CHANGE}`,
      filter: (app) => `${prefix}.audit.${app ?? "*"}`,
    },

    registryStream: `KV_${prefix}-registry`,

    eventsConsumer: `${CONSUMER_PREFIX}events`,
    fanOutConsumer: `${CONSUMER_PREFIX}fan-out`,
    // The name is older than the term "delay tier"; renaming it would leave the old consumers on the streams of an upgrade.
    tierConsumer: (tierS) => `${CONSUMER_PREFIX}rung-${tierS}`,
    orderConsumer: (term) => `${CONSUMER_PREFIX}order-${term}`,
    parkedConsumer: (app, installationUuid) =>
      `${CONSUMER_PREFIX}${installationUuid === null ? `app-${app}` : `installation-${installationUuid}`}`,
  };
}

/** No filter of an app's queues matches its stops. */
function parkedTokens(app: string, installationUuid: string | null): string {
  if (installationUuid === STOPS) return `${STOPS}.${app}`;
  return installationUuid === null ? app : `${app}.${installationUuid}`;
}

function parkedIn([first, second, ...more]: readonly string[]): ParkedSubject | null {
  if (first === undefined || more.length > 0) return null;
  if (first !== STOPS) return { app: first, installationUuid: second ?? null };
  return second === undefined ? null : { app: second, installationUuid: STOPS };
}

/** Whether the subject pattern `wide` matches everything that `narrow` matches. */
export function covers(wide: string, narrow: string): boolean {
  const wideTokens = wide.split(".");
  const narrowTokens = narrow.split(".");
  for (const [index, token] of wideTokens.entries()) {
    if (token === ">") return narrowTokens.length > index;
    const other = narrowTokens[index];
    if (other === undefined || (token !== "*" && token !== other)) return false;
  }
  return wideTokens.length === narrowTokens.length;
}
