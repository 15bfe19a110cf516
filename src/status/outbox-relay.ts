/** Publishes status events whose process died between writing a transition and publishing its event (OUTBOX-2). */
import { messageOf } from "../model/app-error.ts";
import type { Clock } from "../model/clock.ts";
import type { Logger } from "../model/logger.ts";
import { epochMsOf } from "../model/rfc3339.ts";
import type { StatusEvent } from "../model/status-event.ts";
import type { OutboxMembers } from "../model/stored-records.ts";
import { type Outbox, STALE_MS } from "./outbox.ts";

export interface OutboxRelay {
  /** A record of the registry bucket, as the watch delivers it; null: it was deleted. */
  update(key: string, record: OutboxMembers<StatusEvent> | null): void;
  stop(): void;
}

const RETRY_MS = 2_000;
/** The relay acts a little after the event is stale: the writer's clock may differ. */
const MARGIN_MS = 100;

export function createOutboxRelay<R extends OutboxMembers<StatusEvent>>(
  outbox: Outbox<R, StatusEvent>,
  clock: Clock,
  logger: Logger,
): OutboxRelay {
  const timers = new Map<string, () => void>();
  /** The pending events of existing records, and of deleted ones. */
  const pending = new Map<string, StatusEvent>();
  const orphans = new Map<string, StatusEvent>();
  let isStopped = false;

  const cancel = (key: string): void => {
    timers.get(key)?.();
    timers.delete(key);
  };

  const publish = async (key: string): Promise<void> => {
    timers.delete(key);
    const orphan = orphans.get(key);
    try {
      if (orphan !== undefined) {
        await outbox.publishOnce(orphan);
        orphans.delete(key);
      }
      if (await outbox.publishPending(key)) return;
    } catch (error) {
      logger.warn({ key, error: messageOf(error) }, "pending status event not published yet, retrying");
    }
    if (!isStopped) publishAfter(key, RETRY_MS);
  };

  const publishAfter = (key: string, delayMs: number): void => {
    cancel(key);
    timers.set(
      key,
      clock.after(delayMs, () => void publish(key)),
    );
  };

  return {
    update(key, record) {
      const before = pending.get(key);
      if (record === null && before !== undefined) {
        pending.delete(key);
        orphans.set(key, before);
        return publishAfter(key, STALE_MS);
      }
      const event = record?.pending_event;
      if (event === undefined) {
        pending.delete(key);
        if (!orphans.has(key)) cancel(key);
        return;
      }
      pending.set(key, event);
      const ageMs = clock.now() - epochMsOf(event.time);
      publishAfter(key, Math.max(0, STALE_MS - (Number.isNaN(ageMs) ? STALE_MS : Math.abs(ageMs))) + MARGIN_MS);
    },
    stop() {
      isStopped = true;
      for (const key of [...timers.keys()]) cancel(key);
    },
  };
}
