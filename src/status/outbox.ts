/**
 * A change of status that happens once and is announced once, over any number of replicas and crashes.
 *
 * T1  A transition is one compare-and-set that writes the new status, a counter n and `pending_event`, the whole event
 *     with the id `<key's name>:<n>`. Whoever wins it, and nobody else, has made the transition. A record that was removed
 *     and comes back counts on from the revision that removed it, and one that can't be read from its own: they are higher
 *     than any number it had.
 * T2  Then the event is published with its id as Nats-Msg-Id, and the field is cleared. A process that dies between the
 *     two leaves the field behind; any replica that finds it older than 5 s finishes the work.
 * T3  Before an old event is published again, the subject's last message is read: with the same id it was published.
 * T4  No further transition of the same record starts until the field is clear, so events leave in order. A step that
 *     nobody is told of does not wait for that.
 */
import { AppError, messageOf } from "../model/app-error.ts";
import type { Clock } from "../model/clock.ts";
import type { Logger } from "../model/logger.ts";
import { epochMsOf } from "../model/rfc3339.ts";
import type { TransitionMembers } from "../model/stored-records.ts";
import type { StatusRecords, StatusStream } from "./ports.ts";

/** What a pending event needs to be for this file; model/status-event.ts says what it is. */
export interface PendingEvent {
  readonly id: string;
  readonly time: string;
}

export interface Transition<R, E extends PendingEvent> {
  /** Members to write over the record's; undefined removes one. All others are kept. */
  readonly members: { readonly [Name in keyof R]?: R[Name] | undefined };
  /** Built with the id of this transition; null for a step that nobody is told of. */
  readonly event: ((id: string) => E) | null;
}

export interface Outbox<R extends TransitionMembers<E>, E extends PendingEvent> {
  /**
   * Runs `decide` on the newest record (null when there is none) until its compare-and-set wins; null leaves all as is.
   * @returns the record afterwards with its revision (0 when there is none), and whether this call made a transition.
   * @throws AppError CONFLICT when others kept winning, or whatever the store throws when it is away.
   */
  change(
    key: string,
    decide: (current: R | null) => Transition<R, E> | null,
  ): Promise<{ readonly record: R | null; readonly revision: number; readonly changed: boolean }>;
  /** Finishes what a dead process left behind. @returns false when it may still be somebody's work. */
  finish(key: string): Promise<boolean>;
  /** Publishes the event of a record that was removed before somebody could say that it is published. */
  publishLeft(event: E): Promise<void>;
}

/** Younger pending events are still somebody's work. */
export const STALE_MS = 5_000;
const MAX_TRIES = 40;

export interface OutboxDependencies<R, E extends PendingEvent> {
  readonly records: StatusRecords<R>;
  readonly stream: StatusStream<E>;
  readonly clock: Clock;
  readonly logger: Logger;
}

export function createOutbox<R extends TransitionMembers<E>, E extends PendingEvent>({
  records,
  stream,
  clock,
  logger,
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

  const announce = async (key: string, event: E): Promise<void> => {
    await stream.publish(event);
    await clear(key, event.id);
  };

  /** T3. */
  const publishLeft = async (event: E): Promise<void> => {
    if ((await stream.lastId(event)) !== event.id) await stream.publish(event);
  };

  /** @returns true when the record is clear now. */
  const finishPending = async (key: string, pending: E): Promise<boolean> => {
    // A time far ahead is that of a clock that goes wrong.
    if (Math.abs(clock.now() - epochMsOf(pending.time)) < STALE_MS) return false;
    await publishLeft(pending);
    await clear(key, pending.id);
    logger.info({ key, event_id: pending.id }, "finished a status event that was left behind");
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
        if (pending && transition.event !== null) {
          if (!(await finishPending(key, pending))) await new Promise((resolve) => setTimeout(resolve, 250));
          continue;
        }
        const counter = (record === null ? (found?.revision ?? (await records.deletedAt(key))) : (record.n ?? 0)) + 1;
        const event = transition.event?.(`${key.slice(key.indexOf(".") + 1)}:${counter}`) ?? null;
        const numbered = event === null ? {} : { n: counter, pending_event: event };
        const next = { ...record, ...transition.members, ...numbered } as R;
        const revision = found === null ? await records.create(key, next) : await records.update(key, next, found.revision);
        if (revision === "conflict") continue;
        if (event !== null) {
          // The transition has happened; if this fails, any replica publishes it later.
          await announce(key, event).catch((error: unknown) =>
            logger.warn({ key, event_id: event.id, error: messageOf(error) }, "status event will be published later"),
          );
        }
        return { record: next, revision, changed: true };
      }
      throw new AppError("CONFLICT", `record ${key} kept changing under a status transition`, { retryable: true });
    },

    async finish(key) {
      const pending = (await records.read(key))?.record?.pending_event;
      return pending ? finishPending(key, pending) : true;
    },

    publishLeft,
  };
}
