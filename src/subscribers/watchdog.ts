/**
 * Finds a consumer that stands still and deletes it; the pull loop hears of that and makes it anew.
 *
 * W1  It stands still when, over two looks, this replica has asked for messages, nobody was handed any, and either
 *     messages are pending and the consumer has room for them, or a work queue holds messages that its only consumer
 *     neither hands out nor counts as handed out. After a hard kill some servers come back like that.
 * W2  A consumer whose messages are all in somebody's hands (rungs, ordered queues, a parked queue behind an open circuit)
 *     has no room, or nothing pending: it is left alone.
 * W3  Nothing that was done comes back to life: what is handed out anew is checked against the delivered marks.
 */
import type { ConsumerInfo, JetStreamManager } from "nats";
import { messageOf } from "../model/app-error.ts";
import type { Clock } from "../model/clock.ts";
import type { Logger } from "../model/logger.ts";

export interface WatchedConsumer {
  readonly stream: string;
  readonly consumer: string;
  /** What it takes of a work queue; null on a stream whose messages stay when they are acknowledged. */
  readonly workQueueSubject: string | null;
  /** How long nothing has to come before a look, and between two; 10 s when not given. */
  readonly quietMs?: number;
}

export interface WatchdogDependencies {
  readonly manager: JetStreamManager;
  readonly clock: Clock;
  readonly logger: Logger;
}

export interface Watchdog {
  /** Called now and then while messages are asked for. @param quietSince when the last one came, or the asking began. */
  look(quietSince: number): void;
}

const QUIET_MS = 10_000;

export function createWatchdog({ manager, clock, logger }: WatchdogDependencies, options: WatchedConsumer): Watchdog {
  const { stream, consumer, workQueueSubject, quietMs = QUIET_MS } = options;
  /** What the last look saw of a consumer that might stand still. */
  let suspicion: string | null = null;
  let lastLookAt = 0;
  let looking = false;

  const stored = async (): Promise<number> => {
    if (workQueueSubject === null) return 0;
    const { state } = await manager.streams.info(stream, { subjects_filter: workQueueSubject });
    return Object.values(state.subjects ?? {}).reduce((sum, count) => sum + count, 0);
  };

  const isSuspect = async ({ num_pending: pending, num_ack_pending: handedOut, config }: ConsumerInfo): Promise<boolean> => {
    if (pending > 0) return handedOut < (config.max_ack_pending ?? Number.POSITIVE_INFINITY);
    return handedOut === 0 && (await stored()) > 0;
  };

  const lookNow = async (): Promise<void> => {
    const info = await manager.consumers.info(stream, consumer);
    if (!(await isSuspect(info))) {
      suspicion = null;
      return;
    }
    const seen = `${info.created} ${info.delivered.consumer_seq}`;
    if (seen !== suspicion) {
      suspicion = seen;
      return;
    }
    suspicion = null;
    logger.error(
      { stream, consumer, pending: info.num_pending, handed_out: info.num_ack_pending },
      "a consumer stands still and is made anew",
    );
    await manager.consumers.delete(stream, consumer);
  };

  return {
    look(quietSince) {
      const now = clock.now();
      if (looking || now - quietSince < quietMs || now - lastLookAt < quietMs) return;
      lastLookAt = now;
      looking = true;
      lookNow()
        .catch((error: unknown) => logger.debug({ stream, consumer, error: messageOf(error) }, "the watchdog could not look"))
        .finally(() => {
          looking = false;
        });
    },
  };
}
