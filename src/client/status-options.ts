/** Options of a status subscription; invalid ones are refused before a connection is opened. */
import { inspect } from "node:util";
import { APP_SLUG, INSTALLATION_UUID } from "../model/app.ts";
import { AppError } from "../model/app-error.ts";
import { concernsApp, STATUS_EVENT_TYPES, type StatusEventOf, type StatusEventType } from "../model/status-event.ts";
import { SUBJECT_PREFIX, SUBJECT_PREFIX_FORM } from "../model/subject-prefix.ts";
import type { NatsSource } from "./connection.ts";

export interface StatusHandlerContext {
  readonly subject: string;
  readonly sequence: number;
  /** Number of earlier deliveries of the event. */
  readonly redelivered: number;
}

export type StatusHandler<Type extends StatusEventType = StatusEventType> = (
  event: StatusEventOf<Type>,
  context: StatusHandlerContext,
) => void | Promise<void>;

export interface SubscribeStatusOptions<Type extends StatusEventType = StatusEventType> {
  readonly nats: NatsSource;
  /**
   * Identifies the subscription: a process that restarts with the same name resumes where the last one stopped. Without a name
   * the subscription ends with `stop`, or some minutes after the process.
   */
  readonly durable?: string;
  readonly subjectPrefix?: string;
  /**
   * Prefix of the JetStream API if it is imported from Posthorn's account, e.g. `POSTHORN.API`. An operator creates the durable
   * consumer then.
   */
  readonly apiPrefix?: string;
  /** Types of events passed to the handler; all by default. */
  readonly changes?: readonly Type[];
  readonly app?: string;
  readonly installationUuid?: string;
  /** Start of a new subscription; an existing one resumes. */
  readonly startAt?: "new" | "all" | Date;
  /**
   * Number of concurrent handlers, 1 to 256. With 1, the default, events arrive in order over all processes of the name, and an
   * event whose handler throws blocks the next ones. With more there is no order, and an event that waits for redelivery does not
   * block others. All processes of a name need the same value.
   */
  readonly maxInFlight?: number;
  readonly onEvent: StatusHandler<Type>;
  /** Called with every error that is retried. */
  readonly onError?: (error: unknown) => void;
}

const DURABLE = /^[A-Za-z0-9_-]{1,64}$/;
const MOST_IN_FLIGHT = 256;

/** @throws AppError PUBLISH_INVALID */
export function checkStatusOptions<Type extends StatusEventType>(options: SubscribeStatusOptions<Type>): void {
  const { durable, subjectPrefix, apiPrefix, changes, app, installationUuid, startAt, maxInFlight, onEvent, onError } = options;
  const wants = (isRight: boolean, option: string, found: unknown, wanted: string): void => {
    if (isRight) return;
    const shown = typeof found === "string" || Array.isArray(found) ? JSON.stringify(found) : inspect(found, { depth: 1 });
    throw new AppError("PUBLISH_INVALID", `${option}: found ${shown}, wanted ${wanted}`);
  };
  const matches = (form: RegExp, option: string, found: unknown, wanted: string): void =>
    wants(found === undefined || (typeof found === "string" && form.test(found)), option, found, wanted);

  matches(DURABLE, "durable", durable, "1 to 64 letters, digits, _ and -");
  matches(SUBJECT_PREFIX, "subjectPrefix", subjectPrefix, `${SUBJECT_PREFIX_FORM}, as POSTHORN_SUBJECT_PREFIX`);
  matches(/^[^\s.*>]+(?:\.[^\s.*>]+)*$/, "apiPrefix", apiPrefix, "a subject, as POSTHORN.API");
  matches(APP_SLUG, "app", app, "an app's slug: 1 to 64 of a-z, 0-9, _ and -, beginning with a letter or digit");
  matches(INSTALLATION_UUID, "installationUuid", installationUuid, "a UUID");
  if (changes !== undefined) {
    const known = `some of ${STATUS_EVENT_TYPES.join(", ")}`;
    wants(Array.isArray(changes) && changes.length > 0, "changes", changes, known);
    for (const change of changes) wants(STATUS_EVENT_TYPES.includes(change), "changes", change, known);
    wants(
      installationUuid === undefined || !changes.every(concernsApp),
      "changes",
      changes,
      "a change of an installation: with installationUuid, an event that concerns a whole app never arrives",
    );
  }
  const isTime = startAt instanceof Date && !Number.isNaN(startAt.getTime());
  wants(startAt === undefined || startAt === "new" || startAt === "all" || isTime, "startAt", startAt, '"new", "all" or a valid Date');
  const isNumber = Number.isInteger(maxInFlight) && Number(maxInFlight) >= 1 && Number(maxInFlight) <= MOST_IN_FLIGHT;
  wants(maxInFlight === undefined || isNumber, "maxInFlight", maxInFlight, `an integer from 1 to ${MOST_IN_FLIGHT}`);
  wants(typeof onEvent === "function", "onEvent", onEvent, "a function");
  wants(onError === undefined || typeof onError === "function", "onError", onError, "a function");
}
