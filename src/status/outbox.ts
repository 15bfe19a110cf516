/**
 * An outbox in the record itself: a status change happens once and is announced once, over any number of replicas and crashes.
 *
 * OUTBOX-1  A transition is one compare-and-set. It writes the new status, a counter `n`, and `pending_event`: the whole event, whose
 *           id is `<name>:<n>`. The replica that wins has made the transition. The counter of a record that was deleted and
 *           comes back continues at the revision of the deletion, and that of an unreadable record at its revision: both are higher
 *           than every number that the record had.
 * OUTBOX-2  Then the event is published, with its id as Nats-Msg-Id, and the field is cleared. If the process dies in between, any
 *           replica that finds the field older than 5 s publishes the event.
 * OUTBOX-3  Before an old event is published again, the last message of its subject is read: if it has the same id, the event was
 *           published.
 * OUTBOX-4  A transition with an event starts only when the field is clear, so that events leave in order. A transition without one
 *           doesn't wait.
 */
import { AppError, messageOf } from "../model/app-error.ts";
import type { Clock } from "../model/clock.ts";
import type { Logger } from "../model/logger.ts";
import { sleep } from "../model/periodic.ts";
import { epochMsOf } from "../model/rfc3339.ts";
import type { OutboxMembers } from "../model/stored-records.ts";
import type { StatusRecords, StatusStream } from "./ports.ts";

/** The members that this file needs; model/status-event.ts has the whole event. */
export interface PendingEvent {
  readonly id: string;
  readonly time: string;
}

export interface Transition<R, E extends PendingEvent> {
  /** Members to write over the record's. undefined removes a member; all others are kept. */
  readonly members: { readonly [Name in keyof R]?: R[Name] | undefined };
  /** Builds the event from the transition's id; null: the transition has no event. */
  readonly event: ((id: string) => E) | null;
}

export interface Outbox<R extends OutboxMembers<E>, E extends PendingEvent> {
  /**
   * Runs `decide` on the newest record (null: there is none) until its compare-and-set wins. `decide` returns null to change nothing.
   * @returns the record afterwards, its revision (0: there is none), and whether this call made a transition
   * @throws AppError CONFLICT when other writers kept winning; whatever the store throws when it is down
   */
  change(
    key: string,
    decide: (current: R | null) => Transition<R, E> | null,
  ): Promise<{ readonly record: R | null; readonly revision: number; readonly changed: boolean }>;
  /** Publishes the record's pending event if it is old (OUTBOX-2). @returns false when the event may still be another replica's work */
  publishPending(key: string): Promise<boolean>;
  /** Publishes an event unless it was published (OUTBOX-3). */
  publishOnce(event: E): Promise<void>;
}

/** The replica that wrote a younger pending event may still be publishing it. */
export const STALE_MS = 5_000;
const MAX_TRIES = 40;
const RETRY_MS = 250;

export interface OutboxDependencies<R, E extends PendingEvent> {
  readonly records: StatusRecords<R>;
  readonly stream: StatusStream<E>;
  readonly clock: Clock;
  readonly logger: Logger;
  /** The part of an event's id before its number, by key. Records of one name in two kinds need different ones. */
  readonly nameOf?: (key: string) => string;
}

const nameIn = (key: string): string => key.slice(key.indexOf(".") + 1);

export function createOutbox<R extends OutboxMembers<E>, E extends PendingEvent>({
  records,
  stream,
  clock,
  logger,
  nameOf = nameIn,
}: OutboxDependencies<R, E>): Outbox<R, E> {
  /** Clears the field if it still holds this event. */
  const clear = async (key: string, id: string): Promise<void> => {
    for (let tries = 0; tries < MAX_TRIES; tries++) {
      const found = await records.read(key);
      if (found?.record?.pending_event?.id !== id) return;
      const { pending_event: _, ...rest } = found.record;
      if ((await records.update(key, rest as R, found.revision)) !== "conflict") return;
    }
  };

  const publish = async (key: string, event: E): Promise<void> => {
    await stream.publish(event);
    await clear(key, event.id);
  };

  const publishOnce = async (event: E): Promise<void> => {
    if ((await stream.lastId(event)) !== event.id) await stream.publish(event);
  };

  /** @returns whether the field is clear now */
  const publishStale = async (key: string, pending: E): Promise<boolean> => {
    // A time far in the future comes from a clock that is wrong.
    if (Math.abs(clock.now() - epochMsOf(pending.time)) < STALE_MS) return false;
    await publishOnce(pending);
    await clear(key, pending.id);
    logger.info({ key, event_id: pending.id }, "pending status event published");
    return true;
  };

  return {
    async change(key, decide) {
      for (let tries = 0; tries < MAX_TRIES; tries++) {
        const found = await records.read(key);
        const record = found?.record ?? null;
        const transition = decide(record);
        if (transition === null) return { record, revision: found?.revision ?? 0, changed: false };
        const pending = record?.pending_event;
        // OUTBOX-4
        if (pending && transition.event !== null) {
          if (!(await publishStale(key, pending))) await sleep(clock, RETRY_MS);
          continue;
        }
        const counter = (record === null ? (found?.revision ?? (await records.deletedAt(key))) : (record.n ?? 0)) + 1;
        const event = transition.event?.(`${nameOf(key)}:${counter}`) ?? null;
        const numbered = event === null ? {} : { n: counter, pending_event: event };
        const next = { ...record, ...transition.members, ...numbered } as R;
        const revision = found === null ? await records.create(key, next) : await records.update(key, next, found.revision);
        if (revision === "conflict") continue;
        if (event !== null) {
          // The transition has happened. If this fails, any replica publishes the event later.
          await publish(key, event).catch((error: unknown) =>
            logger.warn({ key, event_id: event.id, error: messageOf(error) }, "status event not published yet, retrying later"),
          );
        }
        return { record: next, revision, changed: true };
      }
      throw new AppError("CONFLICT", `record ${key} kept changing during a status transition`, { retryable: true });
    },

    async publishPending(key) {
      const pending = (await records.read(key))?.record?.pending_event;
      return pending ? publishStale(key, pending) : true;
    },

    publishOnce,
  };
}
