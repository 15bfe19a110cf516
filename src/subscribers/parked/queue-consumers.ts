/**
 * The consumers of unordered apps' own parked queues. A queue's consumer, which all replicas share, is created when something is in the
 * queue, and deleted when the queue is empty.
 */
import type { ConsumerInfo } from "nats";
import type { ParkedQueue } from "../../delivery/ports.ts";
import { ensureConsumer, parkedConsumer } from "../../jetstream/consumers.ts";
import { unlessNotFound } from "../../jetstream/nats-errors.ts";
import { subjectState } from "../../jetstream/subject-counts.ts";
import { mayLoseMessages } from "../../jetstream/subject-index.ts";
import type { Subjects } from "../../jetstream/subjects.ts";
import { messageOf } from "../../model/app-error.ts";
import type { KnownQueues } from "./known-queues.ts";
import { createQueueConsumer, type QueueConsumer, type QueueConsumerDependencies } from "./queue-consumer.ts";

export type QueueConsumers = ReturnType<typeof createQueueConsumers>;

export interface QueueConsumersDependencies extends QueueConsumerDependencies {
  readonly names: Subjects;
  readonly queues: Pick<KnownQueues, "has" | "count" | "forget" | "parked">;
  /** Whether the app's own queue has a consumer at all. */
  readonly mayConsume: (app: string) => boolean;
  /** Concurrent attempts of what waits for the app. */
  readonly limitOf: (app: string) => number;
}

const ownQueue = (app: string): ParkedQueue => ({ app, installationUuid: null });

/** A consumer that handed out nothing for so long is asked whether its queue is empty. */
const QUIET_MS = 250;
const LOOK_AGAIN_MS = 3_000;

export function createQueueConsumers(dependencies: QueueConsumersDependencies) {
  const { names, queues, mayConsume, limitOf, clock, logger } = dependencies;
  const stream = names.streams.parked;
  const consumers = new Map<string, QueueConsumer>();
  const opening = new Set<string>();
  const checking = new Set<string>();
  const onStream = consumersOn(dependencies, stream);
  let stopped = false;
  const mayOpen = (app: string): boolean => !stopped && mayConsume(app);

  const open = async (app: string): Promise<void> => {
    if (consumers.has(app) || opening.has(app) || !mayOpen(app)) return;
    opening.add(app);
    try {
      const maxInFlight = limitOf(app);
      const settings = parkedConsumer(names, app, null, maxInFlight);
      const recover = async (): Promise<void> => {
        await ensureConsumer(dependencies, settings);
      };
      await recover();
      if (!mayOpen(app)) return;
      const onIdle = (): void => {
        if (consumers.get(app)?.held() === 0) void closeWhenEmpty(app);
      };
      consumers.set(app, createQueueConsumer(dependencies, { queue: ownQueue(app), settings, maxInFlight, recover, onIdle }));
      clock.after(QUIET_MS * 2, () => void closeWhenEmpty(app));
    } catch (error) {
      logger.warn({ queue: names.parked(app, null), error: messageOf(error) }, "a parked queue can't be consumed yet");
    } finally {
      opening.delete(app);
    }
  };

  const close = async (app: string, consumer: QueueConsumer): Promise<void> => {
    consumers.delete(app);
    await consumer.close();
  };

  /**
   * Opens the app's consumer if its queue holds something, or wakes it. One whose app may have more or fewer attempts in flight by now, or
   * is ordered, is closed first.
   */
  const refresh = async (app: string): Promise<void> => {
    // A closed consumer still counts what it holds.
    if (stopped) return;
    const consumer = consumers.get(app);
    if (consumer !== undefined && mayConsume(app) && consumer.maxInFlight === limitOf(app)) return consumer.wake();
    if (consumer !== undefined) await close(app, consumer);
    if (queues.has(ownQueue(app))) await open(app);
    else if (consumer !== undefined) await onStream.removeUnused(names.parkedConsumer(app, null)).catch(() => {});
  };

  const closeWhenEmpty = async (app: string): Promise<void> => {
    const consumer = consumers.get(app);
    if (stopped || consumer === undefined || checking.has(app) || consumer.held() > 0) return;
    checking.add(app);
    try {
      if (clock.now() - consumer.lastMessageAt() < QUIET_MS) return void clock.after(QUIET_MS, () => void closeWhenEmpty(app));
      const isHeldBack = dependencies.attemptsSoon(app) === 0 && queues.count(ownQueue(app)) > 0;
      if (isHeldBack || !(await onStream.isEmpty(app))) return void clock.after(LOOK_AGAIN_MS, () => void closeWhenEmpty(app));
      queues.forget(ownQueue(app));
      await close(app, consumer);
      await onStream.removeUnused(names.parkedConsumer(app, null));
      if (!(await onStream.holdsSomething(app))) return;
      queues.parked(ownQueue(app));
      await refresh(app);
    } catch (error) {
      logger.warn({ app, error: messageOf(error) }, "a parked queue can't be looked at");
      clock.after(LOOK_AGAIN_MS, () => void closeWhenEmpty(app));
    } finally {
      checking.delete(app);
    }
  };

  return {
    /** Opens the app's consumer if there is none. An open one gets new messages from the server by itself. */
    open,
    refresh,
    has: (app: string): boolean => consumers.has(app),
    apps: (): Iterable<string> => consumers.keys(),
    size: (): number => consumers.size,
    held: (): number => [...consumers.values()].reduce((sum, consumer) => sum + consumer.held(), 0),
    /** Deletes consumers of empty queues whose replicas have died. */
    removeAbandoned: (): Promise<void> =>
      onStream.removeAbandoned(
        (app) => consumers.has(app) || opening.has(app),
        (app) => queues.has(ownQueue(app)),
      ),
    /** Stops all, and opens none any more; attempts in flight continue. */
    async stop(): Promise<void> {
      stopped = true;
      await Promise.all([...consumers.values()].map((consumer) => consumer.close()));
    },
  };
}

function consumersOn({ connection, manager, names }: Pick<QueueConsumersDependencies, "connection" | "manager" | "names">, stream: string) {
  const infoOf = (consumer: string): Promise<ConsumerInfo | null> => unlessNotFound(manager.consumers.info(stream, consumer));

  const holdsSomething = async (app: string): Promise<boolean> => (await subjectState(manager, stream, names.parked(app, null))).count > 0;

  /** Only the replica that pulls last deletes it: deliveries that another replica receives before the deletion would come again. */
  const removeUnused = async (consumer: string): Promise<void> => {
    const info = await infoOf(consumer);
    if (info === null || info.num_pending + info.num_ack_pending + info.num_waiting > 0) return;
    await unlessNotFound(manager.consumers.delete(stream, consumer));
  };

  return {
    holdsSomething,
    removeUnused,
    async isEmpty(app: string): Promise<boolean> {
      const info = await infoOf(names.parkedConsumer(app, null));
      if (info !== null && info.num_pending + info.num_ack_pending > 0) return false;
      // A consumer may not count all that is there (INDEX-1).
      return (info !== null && !mayLoseMessages(connection)) || !(await holdsSomething(app));
    },
    async removeAbandoned(isOurs: (app: string) => boolean, isBusy: (app: string) => boolean): Promise<void> {
      for await (const { name, config } of manager.consumers.list(stream)) {
        const queue = names.parseParked(config.filter_subject ?? "");
        if (queue === null || isOurs(queue.app) || name !== names.parkedConsumer(queue.app, queue.installationUuid)) continue;
        if (queue.installationUuid !== null || !isBusy(queue.app)) await removeUnused(name);
      }
    },
  };
}
