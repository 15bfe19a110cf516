/**
 * Finds a consumer that stands still and deletes it; the pull loop hears of that and makes it anew.
 *
 * W1  It stands still when, over two looks, this replica has asked for messages, nobody was handed any, and either
 *     messages are pending and the consumer has room for them, or a work queue holds messages that its only consumer
 *     neither hands out nor counts as handed out. After a hard kill some servers come back like that.
 * W2  A consumer whose messages are all in somebody's hands (tiers, ordered queues, a parked queue behind an open circuit)
 *     has no room, or nothing pending: it is left alone. Whoever has one says so every third of ack_wait, and what nobody
 *     says that of is handed out again after it. Where neither happens for several ack_waits, and one more in which
 *     the consumer's acks are listened to, nobody has them, and the consumer stands still. So it does, without a wait, where
 *     none of what it counts as handed out is stored any more: it waits for acks of what was acknowledged before a kill.
 * W3  Nothing that was done comes back to life: what is handed out anew is checked against the delivered marks.
 */
import { type ConsumerInfo, type JetStreamManager, type NatsConnection, nanos } from "nats";
import { messageOf } from "../model/app-error.ts";
import type { Clock } from "../model/clock.ts";
import type { Logger } from "../model/logger.ts";
import { ackFilters } from "./api-subjects.ts";
import type { ConnectionState } from "./connection.ts";
import { messageAt } from "./stored-message.ts";
import { countBySubject } from "./subject-counts.ts";

export interface WatchedConsumer {
  readonly stream: string;
  readonly consumer: string;
  /** What it takes of a work queue; null on a stream whose messages stay when they are acknowledged. */
  readonly workQueueSubject: string | null;
  /** How long nothing has to come before a look, and between two; 10 s when not given. */
  readonly quietMs?: number;
}

export interface StalledConsumerDependencies {
  readonly connection: NatsConnection;
  readonly connectionState: ConnectionState;
  readonly manager: JetStreamManager;
  readonly clock: Clock;
  readonly logger: Logger;
}

export interface StalledConsumer {
  /** Called now and then while messages are asked for. @param quietSince when the last one came, or the asking began. */
  look(quietSince: number): void;
}

const QUIET_MS = 10_000;
/** For so many ack_waits nothing has changed before holders are listened for (W2). */
const STILL_ACK_WAITS = 3;

/** Messages whose storage is looked at one by one; with more between, holders are listened for. */
const MOST_ASKED_FOR = 256;

/** Messages that are not handed out, or were and do not come again. */
type Suspicion = "not handed out" | "not handed out again";

export function createStalledConsumer(dependencies: StalledConsumerDependencies, options: WatchedConsumer): StalledConsumer {
  const { connection, connectionState, manager, clock, logger } = dependencies;
  const { stream, consumer, workQueueSubject, quietMs = QUIET_MS } = options;
  /** What the last look saw of a consumer that might stand still. */
  let suspicion: { readonly seen: string; readonly since: number } | null = null;
  /** Not allowed to listen (W2): it can't be told who holds what. */
  let isDeaf = false;
  let lastLookAt = 0;
  let looking = false;

  const stored = async (): Promise<number> => {
    if (workQueueSubject === null) return 0;
    return [...(await countBySubject(manager, stream, workQueueSubject)).values()].reduce((sum, count) => sum + count, 0);
  };

  const suspected = async ({ num_pending: pending, num_ack_pending: handedOut, config }: ConsumerInfo): Promise<Suspicion | null> => {
    if (pending > 0 && handedOut < (config.max_ack_pending ?? Number.POSITIVE_INFINITY)) return "not handed out";
    if (handedOut > 0) return isDeaf ? null : "not handed out again";
    return pending === 0 && (await stored()) > 0 ? "not handed out" : null;
  };

  /**
   * What it counts as handed out is between its floor and what it handed out last. Asked for one by one: servers before 2.10
   * lose sight of messages by their subject.
   */
  const mayBeStored = async ({ ack_floor: floor, delivered }: ConsumerInfo): Promise<boolean> => {
    if (workQueueSubject === null || delivered.stream_seq - floor.stream_seq > MOST_ASKED_FOR) return true;
    for (let sequence = floor.stream_seq + 1; sequence <= delivered.stream_seq; sequence++) {
      if ((await messageAt(manager, stream, sequence)) !== null) return true;
    }
    return false;
  };

  /** Listens for so long to what all replicas say of the consumer's messages. True, too, when it can't be told. */
  const isHeldBySomebody = async (forMs: number): Promise<boolean> => {
    let end = (): void => {};
    let heard = false;
    const hear = (): void => {
      heard = true;
      end();
    };
    // What is said while the connection is away is not heard.
    const offs = [connectionState.onDisconnect(hear), connectionState.onReconnect(hear)];
    const subscriptions = ackFilters(stream, consumer).map((subject) =>
      connection.subscribe(subject, {
        callback(error) {
          isDeaf ||= error !== null;
          hear();
        },
      }),
    );
    try {
      await connection.flush();
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, forMs);
        timer.unref();
        end = () => {
          clearTimeout(timer);
          resolve();
        };
        if (heard) end();
      });
      // What was said before is here before the answer.
      await connection.flush();
      return heard;
    } finally {
      for (const off of offs) off();
      for (const subscription of subscriptions) subscription.unsubscribe();
    }
  };

  const lookNow = async (): Promise<void> => {
    const info = await manager.consumers.info(stream, consumer);
    const why = await suspected(info);
    const moved = why === "not handed out again" ? ` ${info.ack_floor.consumer_seq} ${info.num_ack_pending}` : "";
    const seen = `${info.created} ${info.delivered.consumer_seq}${moved}`;
    if (why === null || seen !== suspicion?.seen) {
      suspicion = why === null ? null : { seen, since: clock.now() };
      return;
    }
    if (why === "not handed out again" && (await mayBeStored(info))) {
      const ackWaitMs = (info.config.ack_wait ?? 0) / nanos(1);
      if (clock.now() - suspicion.since < STILL_ACK_WAITS * ackWaitMs) return;
      suspicion = null;
      if (await isHeldBySomebody(ackWaitMs)) return;
      const { delivered, num_ack_pending: handedOut } = await manager.consumers.info(stream, consumer);
      if (delivered.consumer_seq !== info.delivered.consumer_seq || handedOut !== info.num_ack_pending) return;
    }
    suspicion = null;
    logger.error({ stream, consumer, pending: info.num_pending, handed_out: info.num_ack_pending }, "stalled consumer recreated");
    await manager.consumers.delete(stream, consumer);
  };

  return {
    look(quietSince) {
      const now = clock.now();
      if (looking || now - quietSince < quietMs || now - lastLookAt < quietMs) return;
      lastLookAt = now;
      looking = true;
      lookNow()
        .catch((error: unknown) => logger.debug({ stream, consumer, error: messageOf(error) }, "the stalledConsumer could not look"))
        .finally(() => {
          looking = false;
        });
    },
  };
}
