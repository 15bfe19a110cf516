/** Finishes status events whose process died between writing a transition and publishing its event (outbox.ts T2). */
import { messageOf } from "../model/app-error.ts";
import type { Clock } from "../model/clock.ts";
import type { Logger } from "../model/logger.ts";
import { epochMsOf } from "../model/rfc3339.ts";
import type { StatusEvent } from "../model/status-event.ts";
import type { TransitionMembers } from "../model/stored-records.ts";
import { type Outbox, STALE_MS } from "./outbox.ts";

export interface OutboxRelay {
  /** A record of the registry bucket, as the watch brings it; null when it is gone. */
  update(key: string, record: TransitionMembers<StatusEvent> | null): void;
  stop(): void;
}

const AGAIN_MS = 2_000;

export function createOutboxRelay<R extends TransitionMembers<StatusEvent>>(
  outbox: Outbox<R, StatusEvent>,
  clock: Clock,
  logger: Logger,
): OutboxRelay {
  const timers = new Map<string, () => void>();
  /** What records have, and what those had that were removed. */
  const pending = new Map<string, StatusEvent>();
  const orphans = new Map<string, StatusEvent>();
  let stopped = false;

  const forget = (key: string): void => {
    timers.get(key)?.();
    timers.delete(key);
  };

  const finish = async (key: string): Promise<void> => {
    timers.delete(key);
    const orphan = orphans.get(key);
    try {
      if (orphan !== undefined) {
        await outbox.publishLeft(orphan);
        orphans.delete(key);
      }
      if (await outbox.finish(key)) return;
    } catch (error) {
      logger.warn({ key, error: messageOf(error) }, "a status event that was left behind can't be published yet");
    }
    if (!stopped) finishAfter(key, AGAIN_MS);
  };

  const finishAfter = (key: string, delayMs: number): void => {
    forget(key);
    timers.set(
      key,
      clock.after(delayMs, () => void finish(key)),
    );
  };

  return {
    update(key, record) {
      const left = pending.get(key);
      if (record === null && left !== undefined) {
        pending.delete(key);
        orphans.set(key, left);
        return finishAfter(key, STALE_MS);
      }
      const event = record?.pending_event;
      if (event === undefined) {
        pending.delete(key);
        if (!orphans.has(key)) forget(key);
        return;
      }
      pending.set(key, event);
      const ageMs = clock.now() - epochMsOf(event.time);
      // A little later than stale, and by the record's own clock: the writer's may differ.
      finishAfter(key, Math.max(0, STALE_MS - (Number.isNaN(ageMs) ? STALE_MS : Math.abs(ageMs))) + 100);
    },
    stop() {
      stopped = true;
      for (const key of [...timers.keys()]) forget(key);
    },
  };
}
