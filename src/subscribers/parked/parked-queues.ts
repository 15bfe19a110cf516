/**
 * The parked stream: which queues hold deliveries, which of them may flow, and a drain for each that may.
 *
 * A queue is found by the local park that filled it or by a look at the stream's subjects every few seconds (which also
 * finds what other replicas parked). Its consumer is made on demand and deleted when num_pending + num_ack_pending = 0 and
 * nobody pulls from it: what another replica gets between a look and a delete would come again while it is being attempted.
 */
import { AckPolicy, type ConsumerInfo, nanos, type StreamState } from "nats";
import type { ParkedQueue } from "../../delivery/ports.ts";
import { ensureConsumer, unlessNotFound } from "../../jetstream/streams.ts";
import type { Subjects } from "../../jetstream/subjects.ts";
import { messageOf } from "../../model/app-error.ts";
import { queueOf } from "./backlog.ts";
import { createQueueConsumer, type QueueConsumer, type QueueConsumerDependencies } from "./queue-consumer.ts";

export interface ParkedQueues {
  start(): Promise<void>;
  /** Stops all drains; attempts in flight go on. */
  stop(): Promise<void>;
  /** Whether the queue holds deliveries as far as this replica knows. */
  busy(queue: ParkedQueue): boolean;
  /** Something was parked there, or a admission in front of it may have opened. */
  wake(queue: ParkedQueue): void;
  /** Drains look at their gates again, and queues that may flow now are drained. */
  wakeAll(): void;
  /** As wakeAll, for one app. */
  wakeApp(app: string): void;
  held(): number;
  /** Queues known to hold deliveries. */
  queues(): number;
  /** Those of them that may not flow. */
  standing(): ParkedQueue[];
}

export interface ParkedSubscriberDependencies extends QueueConsumerDependencies {
  readonly names: Subjects;
  /** Whether the installation's status lets the queue's deliveries go. The circuit is the drain's own business. */
  readonly isFlowing: (queue: ParkedQueue) => boolean;
}

export interface ParkedSubscriberOptions {
  /** Concurrent attempts of an app when its record says nothing. */
  readonly appMaxInFlight: number;
  readonly maxParkedAgeMs: number;
}

const SCAN_MS = 3_000;
const ACK_WAIT_MS = 10_000;
/** A drain that saw no message for so long asks whether its queue is empty. */
const QUIET_MS = 250;

export function createParkedQueues(dependencies: ParkedSubscriberDependencies, options: ParkedSubscriberOptions): ParkedQueues {
  const { manager, names, registry, isFlowing, clock, logger } = dependencies;
  const stream = names.streams.parked;
  const busyQueues = new Map<string, ParkedQueue>();
  const drains = new Map<string, QueueConsumer>();
  const opening = new Set<string>();
  const checking = new Set<string>();
  /** Queues whose consumer was found without messages at the last scan. */
  let emptyBefore: ReadonlySet<string> = new Set();
  let stopping = false;
  let cancelScan = (): void => {};

  const keyOf = ({ app, installationUuid }: ParkedQueue): string => names.parked(app, installationUuid);
  const consumerOf = ({ app, installationUuid }: ParkedQueue): string => names.parkedConsumer(app, installationUuid);

  const maxInFlightOf = (queue: ParkedQueue): number => {
    const app = registry.app(queue.app);
    return app?.ordered ? 1 : Math.max(1, Math.floor((app?.maxInFlight ?? options.appMaxInFlight) / 2));
  };

  /**
   * One installation queue at a time per app: the one being drained, else the first by name that may flow. The queues of an
   * ordered app are all open: which delivery goes next is decided over all of them.
   */
  const isTurn = (queue: ParkedQueue): boolean => {
    if (queue.installationUuid === null || registry.app(queue.app)?.ordered === true) return true;
    const key = keyOf(queue);
    for (const [otherKey, other] of busyQueues) {
      if (other.app !== queue.app || other.installationUuid === null || otherKey === key) continue;
      if (drains.has(otherKey) || opening.has(otherKey) || (otherKey < key && isFlowing(other))) return false;
    }
    return true;
  };

  const open = async (queue: ParkedQueue): Promise<void> => {
    const key = keyOf(queue);
    if (stopping || drains.has(key) || opening.has(key) || !isFlowing(queue) || !isTurn(queue)) return;
    opening.add(key);
    try {
      const maxInFlight = maxInFlightOf(queue);
      const ensure = async (): Promise<void> => {
        await ensureConsumer(manager, stream, {
          durable_name: consumerOf(queue),
          filter_subject: key,
          ack_policy: AckPolicy.Explicit,
          ack_wait: nanos(ACK_WAIT_MS),
          max_deliver: -1,
          max_ack_pending: maxInFlight,
        });
      };
      await ensure();
      if (stopping) return;
      const drain = createQueueConsumer(dependencies, {
        queue,
        stream,
        consumer: consumerOf(queue),
        subject: key,
        maxInFlight,
        maxParkedAgeMs: options.maxParkedAgeMs,
        ackWaitMs: ACK_WAIT_MS,
        recover: ensure,
        isFlowing,
        onIdle: () => {
          if (drains.get(key)?.held() === 0 || !isFlowing(queue)) void closeWhenDone(queue);
        },
      });
      drains.set(key, drain);
      clock.after(QUIET_MS * 2, () => void closeWhenDone(queue));
    } catch (error) {
      logger.warn({ queue: key, error: messageOf(error) }, "parked queue can't be drained yet");
    } finally {
      opening.delete(key);
    }
  };

  /** Ends the drain when its queue is empty, or may not flow any more. */
  const closeWhenDone = async (queue: ParkedQueue): Promise<void> => {
    const key = keyOf(queue);
    const drain = drains.get(key);
    if (drain === undefined || checking.has(key) || stopping) return;
    checking.add(key);
    try {
      if (!isFlowing(queue)) {
        drains.delete(key);
        await drain.close();
        return;
      }
      const quietForMs = clock.now() - drain.lastMessageAt();
      if (drain.held() > 0) return;
      if (quietForMs < QUIET_MS) {
        clock.after(QUIET_MS - quietForMs + 1, () => void closeWhenDone(queue));
        return;
      }
      if (!(await isEmpty(queue))) {
        clock.after(SCAN_MS, () => void closeWhenDone(queue));
        return;
      }
      busyQueues.delete(key);
      drains.delete(key);
      await drain.close();
      await removeUnused(queue);
      // Whatever was parked between the look and the removal has woken nobody.
      if ((await counts(key)).has(key)) wake(queue);
      else openWaiting(queue.app);
    } catch (error) {
      logger.warn({ queue: key, error: messageOf(error) }, "parked queue can't be looked at");
      clock.after(SCAN_MS, () => void closeWhenDone(queue));
    } finally {
      checking.delete(key);
    }
  };

  const isEmpty = async (queue: ParkedQueue): Promise<boolean> => {
    const info = await infoOf(queue);
    if (info === null) return !(await counts(keyOf(queue))).has(keyOf(queue));
    return info.num_pending + info.num_ack_pending === 0;
  };

  const infoOf = (queue: ParkedQueue): Promise<ConsumerInfo | null> => unlessNotFound(manager.consumers.info(stream, consumerOf(queue)));

  /** Whoever pulls last removes it. */
  const removeUnused = async (queue: ParkedQueue): Promise<void> => {
    const info = await infoOf(queue);
    if (info === null || info.num_pending + info.num_ack_pending + info.num_waiting > 0) return;
    await unlessNotFound(manager.consumers.delete(stream, consumerOf(queue)));
  };

  const stateOf = async (filter: string): Promise<StreamState> => (await manager.streams.info(stream, { subjects_filter: filter })).state;

  const counts = async (filter: string): Promise<Map<string, number>> => new Map(Object.entries((await stateOf(filter)).subjects ?? {}));

  /** Whoever drained the queue has died before it could remove the consumer, and nothing is parked there any more. */
  const removeUnrelayed = async (): Promise<void> => {
    const empty = new Set<string>();
    for await (const { name, config, num_pending, num_ack_pending, num_waiting } of manager.consumers.list(stream)) {
      const key = config.filter_subject ?? "";
      if (num_pending + num_ack_pending + num_waiting > 0 || busyQueues.has(key) || name !== consumerOf(queueOf(key))) continue;
      // One that is empty for a moment may be another replica's, which is about to remove it, too.
      if (emptyBefore.has(key)) await removeUnused(queueOf(key));
      else empty.add(key);
    }
    emptyBefore = empty;
  };

  const scan = async (): Promise<void> => {
    const knownBefore = new Set(busyQueues.keys());
    try {
      const { subjects = {}, consumer_count: consumers } = await stateOf(`${names.prefix}.parked.>`);
      for (const subject of Object.keys(subjects)) busyQueues.set(subject, queueOf(subject));
      for (const key of knownBefore) {
        if (key in subjects || drains.has(key) || opening.has(key)) continue;
        busyQueues.delete(key);
        // Emptied in some other way: discarded, expired, drained by another replica.
        await removeUnused(queueOf(key));
      }
      if (consumers > drains.size) await removeUnrelayed();
    } catch (error) {
      logger.warn({ stream, error: messageOf(error) }, "parked queues can't be listed");
    }
    for (const queue of busyQueues.values()) void open(queue);
    if (!stopping) cancelScan = clock.after(SCAN_MS, () => void scan());
  };

  const openWaiting = (app: string): void => {
    for (const queue of busyQueues.values()) if (queue.app === app) void open(queue);
  };

  /** A drain whose app may have more or fewer in flight by now ends, and another begins. */
  const isOutdated = (drain: QueueConsumer): boolean => drain.maxInFlight !== maxInFlightOf(drain.queue);

  const reopen = async (queue: ParkedQueue, drain: QueueConsumer): Promise<void> => {
    drains.delete(keyOf(queue));
    await drain.close();
    await open(queue);
  };

  const wake = (queue: ParkedQueue): void => {
    const key = keyOf(queue);
    busyQueues.set(key, queue);
    const drain = drains.get(key);
    if (drain === undefined) void open(queue);
    else if (isOutdated(drain)) void reopen(queue, drain);
    else drain.wake();
  };

  return {
    start: scan,
    async stop() {
      stopping = true;
      cancelScan();
      await Promise.all([...drains.values()].map((drain) => drain.close()));
    },
    busy: (queue) => busyQueues.has(keyOf(queue)),
    wake,
    wakeAll() {
      for (const drain of drains.values()) drain.wake();
      for (const queue of busyQueues.values()) void open(queue);
    },
    wakeApp(app) {
      for (const queue of busyQueues.values()) {
        if (queue.app !== app) continue;
        drains.get(keyOf(queue))?.appChanged();
        wake(queue);
      }
    },
    held: () => [...drains.values()].reduce((sum, drain) => sum + drain.held(), 0),
    queues: () => busyQueues.size,
    standing: () => [...busyQueues.values()].filter((queue) => !isFlowing(queue)),
  };
}
