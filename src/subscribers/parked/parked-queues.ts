/**
 * Which parked queues hold deliveries, and what takes them from there. An unordered app's own queue has a consumer that all replicas
 * share, made when something is in the queue and deleted when it is empty. Installations' queues, and all queues of an ordered app,
 * have no consumer: the one owner of the queues (queue-owner.ts) reads them.
 *
 * A queue is found by the local park that filled it or by a look at the stream's subjects every few seconds, which also finds what
 * other replicas parked.
 */
import type { ConsumerInfo, StreamConfig, StreamState } from "nats";
import type { ParkedQueue, RegistryView } from "../../delivery/ports.ts";
import { ensureConsumer, parkedConsumer } from "../../jetstream/consumers.ts";
import { unlessNotFound } from "../../jetstream/nats-errors.ts";
import { countBySubject } from "../../jetstream/subject-counts.ts";
import type { Subjects } from "../../jetstream/subjects.ts";
import { isOrdered } from "../../model/app.ts";
import { messageOf } from "../../model/app-error.ts";
import type { ParkedShare } from "./parked-share.ts";
import { createQueueConsumer, type QueueConsumer, type QueueConsumerDependencies } from "./queue-consumer.ts";

/** Why queues are looked at again. */
export type WakeReason = "parked" | "status" | "app" | "circuit" | "throttle" | "order" | "scan";

export interface ParkedQueues {
  start(): Promise<void>;
  /** Stops all consumers; attempts in flight go on. */
  stop(): Promise<void>;
  /** Whether the queue holds deliveries as far as this replica knows. */
  busy(queue: ParkedQueue): boolean;
  /** Messages that it held when it was looked at, and what this replica has parked there since. */
  count(queue: ParkedQueue): number;
  /** Something was parked there. */
  parked(queue: ParkedQueue): void;
  /** What decides whether queues may flow has changed. @param app null: of all apps @param installationUuid of this one only */
  wake(reason: WakeReason, app: string | null, installationUuid?: string): void;
  held(): number;
  /** Queues known to hold deliveries. */
  busyQueues(): Iterable<ParkedQueue>;
  queues(): number;
}

export interface ParkedQueuesDependencies extends QueueConsumerDependencies {
  readonly names: Subjects;
  readonly registry: RegistryView;
  readonly share: ParkedShare;
  /** The order of the app's deliveries is, or was until now, kept by the owner of the queues. */
  readonly isOwned: (app: string) => boolean;
  /** These queues hold something, and may flow by now. @param app null: of all apps */
  readonly onWake: (reason: WakeReason, app: string | null, queues: Iterable<ParkedQueue>) => void;
}

export interface ParkedQueuesOptions {
  /** Concurrent attempts of an app when its record says nothing. */
  readonly appMaxInFlight: number;
}

const SCAN_MS = 3_000;
/** A consumer that handed out nothing for so long is asked whether its queue is empty. */
const QUIET_MS = 250;

export function createParkedQueues(dependencies: ParkedQueuesDependencies, options: ParkedQueuesOptions): ParkedQueues {
  const { manager, names, registry, share, isOwned, onWake, clock, logger } = dependencies;
  const stream = names.streams.parked;
  const busyQueues = new Map<string, ParkedQueue>();
  /** Subject → messages that it held at the last scan, and what this replica has parked there since. */
  let counts = new Map<string, number>();
  /** By app. */
  const consumers = new Map<string, QueueConsumer>();
  const opening = new Set<string>();
  const checking = new Set<string>();
  let lastSequence = -1;
  let stopping = false;
  let cancelScan = (): void => {};

  const keyOf = ({ app, installationUuid }: ParkedQueue): string => names.parked(app, installationUuid);
  const consumerOf = (app: string): string => names.parkedConsumer(app, null);
  const mayConsume = (app: string): boolean => !stopping && !isOwned(app) && !isOrdered(registry.app(app));
  const maxInFlightOf = (app: string): number => Math.max(1, Math.floor((registry.app(app)?.maxInFlight ?? options.appMaxInFlight) / 2));

  const open = async (app: string): Promise<void> => {
    if (consumers.has(app) || opening.has(app) || !mayConsume(app)) return;
    opening.add(app);
    try {
      const maxInFlight = maxInFlightOf(app);
      const settings = parkedConsumer(names, app, null, maxInFlight);
      const ensure = async (): Promise<void> => {
        await ensureConsumer(manager, settings);
      };
      await ensure();
      if (!mayConsume(app)) return;
      const consumer = createQueueConsumer(dependencies, {
        queue: { app, installationUuid: null },
        settings,
        maxInFlight,
        recover: ensure,
        onIdle: () => {
          if (consumers.get(app)?.held() === 0) void closeWhenDone(app);
        },
      });
      consumers.set(app, consumer);
      clock.after(QUIET_MS * 2, () => void closeWhenDone(app));
    } catch (error) {
      logger.warn({ queue: names.parked(app, null), error: messageOf(error) }, "a parked queue can't be consumed yet");
    } finally {
      opening.delete(app);
    }
  };

  /** Ends the consumer when its queue is empty. */
  const closeWhenDone = async (app: string): Promise<void> => {
    const consumer = consumers.get(app);
    if (consumer === undefined || checking.has(app) || stopping) return;
    checking.add(app);
    try {
      const quietForMs = clock.now() - consumer.lastMessageAt();
      if (consumer.held() > 0) return;
      if (quietForMs < QUIET_MS) {
        clock.after(QUIET_MS - quietForMs + 1, () => void closeWhenDone(app));
        return;
      }
      const key = names.parked(app, null);
      if (!(await isEmpty(app, key))) {
        clock.after(SCAN_MS, () => void closeWhenDone(app));
        return;
      }
      busyQueues.delete(key);
      await close(app, consumer);
      await removeUnused(consumerOf(app));
      // What was parked between the look and the removal has woken nobody.
      if ((await subjectsOf(key)).includes(key)) parked({ app, installationUuid: null });
    } catch (error) {
      logger.warn({ app, error: messageOf(error) }, "a parked queue can't be looked at");
      clock.after(SCAN_MS, () => void closeWhenDone(app));
    } finally {
      checking.delete(app);
    }
  };

  const close = async (app: string, consumer: QueueConsumer): Promise<void> => {
    consumers.delete(app);
    await consumer.close();
  };

  const isEmpty = async (app: string, key: string): Promise<boolean> => {
    const info = await infoOf(consumerOf(app));
    if (info === null) return !(await subjectsOf(key)).includes(key);
    return info.num_pending + info.num_ack_pending === 0;
  };

  const infoOf = (consumer: string): Promise<ConsumerInfo | null> => unlessNotFound(manager.consumers.info(stream, consumer));

  /** The replica that pulls last removes it: what another one gets between a look and a delete would come again meanwhile. */
  const removeUnused = async (consumer: string): Promise<void> => {
    const info = await infoOf(consumer);
    if (info === null || info.num_pending + info.num_ack_pending + info.num_waiting > 0) return;
    await unlessNotFound(manager.consumers.delete(stream, consumer));
  };

  const subjectsOf = async (filter: string): Promise<string[]> => [...(await countBySubject(manager, stream, filter)).keys()];

  const noteUse = ({ max_bytes: maxBytes, max_msgs: maxMessages }: StreamConfig, { bytes, last_seq: lastSequence }: StreamState): void => {
    const apps = new Map<string, number>();
    let messages = 0;
    for (const [subject, count] of counts) {
      const app = names.parseParked(subject)?.app;
      if (app !== undefined) apps.set(app, (apps.get(app) ?? 0) + count);
      messages += count;
    }
    share.update({ maxBytes, maxMessages, bytes, messages, lastSequence }, apps);
  };

  /** Consumers of queues that are empty or have none by now: their replica died before it could remove them. */
  const removeUnrelayed = async (): Promise<void> => {
    for await (const { name, config } of manager.consumers.list(stream)) {
      const queue = names.parseParked(config.filter_subject ?? "");
      if (
        queue === null ||
        consumers.has(queue.app) ||
        opening.has(queue.app) ||
        name !== names.parkedConsumer(queue.app, queue.installationUuid)
      )
        continue;
      if (queue.installationUuid !== null || !busyQueues.has(keyOf(queue))) await removeUnused(name);
    }
  };

  const scan = async (): Promise<void> => {
    try {
      const { state, config } = await manager.streams.info(stream);
      const { last_seq: sequence, consumer_count: count, messages } = state;
      // What leaves a queue does not make anything flow: only something new, or something that was there, is worth the list.
      if (sequence !== lastSequence || messages > 0 || busyQueues.size > 0) {
        const listed = messages === 0 ? state : (await manager.streams.info(stream, { subjects_filter: names.allParked })).state;
        counts = new Map(Object.entries(listed.subjects ?? {}));
        noteUse(config, listed);
        const subjects = [...counts.keys()];
        const found = new Set(subjects);
        for (const subject of subjects) {
          const queue = names.parseParked(subject);
          if (queue !== null) busyQueues.set(subject, queue);
        }
        for (const [key, queue] of busyQueues) if (!found.has(key) && !consumers.has(queue.app)) busyQueues.delete(key);
        lastSequence = sequence;
      }
      if (count > consumers.size) await removeUnrelayed();
    } catch (error) {
      logger.warn({ stream, error: messageOf(error) }, "parked queues can't be listed");
    }
    wake("scan", null);
    if (!stopping) cancelScan = clock.after(SCAN_MS, () => void scan());
  };

  /** One whose app may have more or fewer in flight by now, or is ordered, ends. */
  const refresh = async (app: string): Promise<void> => {
    const consumer = consumers.get(app);
    const isWanted = consumer !== undefined && mayConsume(app) && consumer.maxInFlight === maxInFlightOf(app);
    if (isWanted) return consumer.wake();
    if (consumer !== undefined) await close(app, consumer);
    if (busyQueues.has(names.parked(app, null))) await open(app);
    else if (consumer !== undefined) await removeUnused(consumerOf(app)).catch(() => {});
  };

  const queuesOf = (app: string | null, installationUuid: string | undefined): Iterable<ParkedQueue> => {
    if (app === null) return busyQueues.values();
    if (installationUuid === undefined) return [...busyQueues.values()].filter((queue) => queue.app === app);
    const queue = busyQueues.get(names.parked(app, installationUuid));
    return queue === undefined ? [] : [queue];
  };

  const wake: ParkedQueues["wake"] = (reason, app, installationUuid) => {
    if (app !== null) void refresh(app);
    else {
      const apps = new Set(consumers.keys());
      for (const queue of busyQueues.values()) if (queue.installationUuid === null) apps.add(queue.app);
      for (const one of apps) void refresh(one);
    }
    onWake(reason, app, queuesOf(app, installationUuid));
  };

  const parked = (queue: ParkedQueue): void => {
    const key = keyOf(queue);
    busyQueues.set(key, queue);
    counts.set(key, (counts.get(key) ?? 0) + 1);
    if (queue.installationUuid === null) void refresh(queue.app);
    onWake("parked", queue.app, [queue]);
  };

  return {
    start: scan,
    async stop() {
      stopping = true;
      cancelScan();
      await Promise.all([...consumers.values()].map((consumer) => consumer.close()));
    },
    count: (queue) => counts.get(keyOf(queue)) ?? 0,
    busy: (queue) => busyQueues.has(keyOf(queue)),
    parked,
    wake,
    held: () => [...consumers.values()].reduce((sum, consumer) => sum + consumer.held(), 0),
    busyQueues: () => busyQueues.values(),
    queues: () => busyQueues.size,
  };
}
