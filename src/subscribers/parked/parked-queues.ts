/**
 * The parked queues, and what takes deliveries from them. An unordered app's own queue has a consumer (queue-consumers.ts). Installations'
 * queues, and all queues of an ordered app, have none: the one owner of the queues (ordered/queue-owner.ts) reads them.
 */
import type { ParkedQueue, RegistryView } from "../../delivery/ports.ts";
import { isOrdered } from "../../model/app.ts";
import { messageOf } from "../../model/app-error.ts";
import { every } from "../../model/periodic.ts";
import { createKnownQueues, type KnownQueuesDependencies } from "./known-queues.ts";
import { createQueueConsumers, type QueueConsumers, type QueueConsumersDependencies } from "./queue-consumers.ts";

/** Why queues are looked at again. */
export type WakeReason = "parked" | "status" | "app" | "circuit" | "throttle" | "order" | "scan";

export type ParkedQueues = ReturnType<typeof createParkedQueues>;

type ConsumerPorts = Omit<QueueConsumersDependencies, "queues" | "mayConsume">;

export interface ParkedQueuesDependencies extends ConsumerPorts, Omit<KnownQueuesDependencies, "hasConsumer"> {
  readonly registry: RegistryView;
  /** The order of the app's deliveries is, or was until now, kept by the owner of the queues. */
  readonly isOwned: (app: string) => boolean;
  /** These queues hold something, and may flow by now. @param app null: of all apps */
  readonly onWake: (reason: WakeReason, app: string | null, queues: Iterable<ParkedQueue>) => void;
}

const SCAN_MS = 3_000;

export function createParkedQueues(dependencies: ParkedQueuesDependencies) {
  const { names, registry, isOwned, onWake, clock, logger } = dependencies;
  const known = createKnownQueues({ ...dependencies, hasConsumer: (app) => consumers.has(app) });
  const consumers: QueueConsumers = createQueueConsumers({
    ...dependencies,
    queues: known,
    mayConsume: (app) => !isOwned(app) && !isOrdered(registry.app(app)),
  });

  const parked = (queue: ParkedQueue): void => {
    known.parked(queue);
    if (queue.installationUuid === null) void consumers.open(queue.app);
    onWake("parked", queue.app, [queue]);
  };

  /** Queues may flow now, or not any more. @param app null: of all apps @param installationUuid of this one only */
  const wake = (reason: WakeReason, app: string | null, installationUuid?: string): void => {
    const apps = app === null ? new Set(consumers.apps()) : new Set([app]);
    if (app === null) for (const queue of known.all()) if (queue.installationUuid === null) apps.add(queue.app);
    for (const one of apps) void consumers.refresh(one);
    onWake(reason, app, known.of(app, installationUuid));
  };

  const scan = async (): Promise<void> => {
    try {
      const found = await known.scan();
      if (found > consumers.size()) await consumers.removeAbandoned();
    } catch (error) {
      logger.warn({ stream: names.streams.parked, error: messageOf(error) }, "parked queues can't be listed");
    }
    wake("scan", null);
  };
  const scanning = every(clock, SCAN_MS, scan);

  return {
    start: scanning.start,
    /** Stops all consumers; attempts in flight continue. */
    async stop(): Promise<void> {
      scanning.stop();
      await consumers.stop();
    },
    busy: known.has,
    count: known.count,
    stateOf: known.stateOf,
    parked,
    wake,
    held: () => consumers.held(),
    busyQueues: known.all,
    queues: known.size,
  };
}
