/**
 * One replica at a time, by a lease, owns what has an order or no consumer: it reads the events of ordered apps, keeps their deliveries
 * in order, and empties the queues of installations. The others leave all that alone.
 *
 * ORDER-7  Nothing that a term began outlives it: when the lease is over no attempt starts and nothing is stored for it, and the next
 *          owner begins with what is stored and with the events after the floor.
 */

import type { ParkedQueue } from "../../delivery/ports.ts";
import { createLease, type Lease, type LeaseNote, type LeaseRecords } from "../../jetstream/lease.ts";
import { unlessNotFound } from "../../jetstream/nats-errors.ts";
import { messageAt } from "../../jetstream/stored-message.ts";
import type { App } from "../../model/app.ts";
import { isOrdered } from "../../model/app.ts";
import { messageOf } from "../../model/app-error.ts";
import { createInstallationQueues, type InstallationQueues, type InstallationQueuesDependencies } from "../parked/installation-queues.ts";
import type { WakeReason } from "../parked/parked-queues.ts";
import { createOrderReader, type OrderReader, type OrderReaderDependencies } from "./order-reader.ts";
import type { OrderRecords } from "./order-records.ts";
import { createOrderedApp, type OrderedApp, type OrderedAppDependencies } from "./ordered-app.ts";

export interface QueueOwner {
  start(): void;
  /** Starts nothing any more; attempts in flight go on. */
  stop(): Promise<void>;
  /** For another replica to take over at once. */
  release(): Promise<void>;
  /** The lease's record was pushed. */
  observe(value: string | null, revision: number): void;
  isOwner(): boolean;
  wake(reason: WakeReason, app: string | null, queues: Iterable<ParkedQueue>): void;
  /** Attempts in flight. */
  held(): number;
  /** Sequences in the parked stream that are being attempted. */
  inFlight(): number[];
}

type OwnerPorts = Omit<OrderedAppDependencies, "isOwner" | "isDeadLetter" | "stream" | "monotonicNow"> &
  Omit<InstallationQueuesDependencies, "isOwner"> &
  Omit<OrderReaderDependencies, "isTaken" | "accept">;

export interface QueueOwnerDependencies extends Omit<OwnerPorts, "registry"> {
  readonly registry: OrderedAppDependencies["registry"] & { apps(): Iterable<App> };
  readonly records: LeaseRecords;
  readonly orderRecords: OrderRecords;
  /** Names this replica. */
  readonly replica: string;
}

/** What a term has in its hands. */
interface Term {
  readonly name: string;
  readonly apps: Map<string, OwnedApp>;
  reader: OrderReader | null;
  readonly floorLeft: number | null;
}

interface OwnedApp {
  readonly ordered: OrderedApp;
  readonly from: number;
  state: "new" | "preparing" | "ready";
  /** When it ceased to be ordered; monotonic. */
  endingSince: number | null;
}

export const OWNER_KEY = "lease.queues";

/** Replicas know by then that an app is not ordered any more. */
const ENDING_MS = 20_000;
const REFRESH_MS = 3_000;
const LOOK_MS = 200;
/** Longer than what replicas have in hand takes, other than a receiver that hangs. */
const OTHERS_WAIT_MS = 40_000;

export function createQueueOwner(dependencies: QueueOwnerDependencies): QueueOwner {
  const { records, orderRecords, registry, manager, names, clock, logger, replica } = dependencies;
  const monotonicNow = dependencies.monotonicNow ?? (() => performance.now());
  let term: Term | null = null;
  let stopping = false;
  let cancelRefresh = (): void => {};

  const isInTerm = (of: Term): boolean => term === of && lease.isHeld();
  const isOwner = (): boolean => lease.isHeld() && !stopping;

  const installationQueues: InstallationQueues = createInstallationQueues({ ...dependencies, isOwner });

  const note = (): LeaseNote => ({ floor: term?.reader?.floor() ?? null });

  const lastEvent = async (): Promise<number> => (await manager.streams.info(names.streams.events)).state.last_seq;

  const makeApp = (of: Term, app: string, from: number): OwnedApp => {
    const isOurs = (): boolean => isInTerm(of);
    const isDeadLetter = async (sequence: number): Promise<boolean> =>
      (await messageAt(manager, names.streams.deadLetters, sequence)) !== null;
    const stream = names.streams.parked;
    const ordered = createOrderedApp({ ...dependencies, monotonicNow, isOwner: isOurs, isDeadLetter, stream }, app);
    return { ordered, from, state: "new", endingSince: null };
  };

  /** What replicas have in hand of the app is done, or stored where the owner finds it. */
  const othersAreDone = async (of: Term, app: string, from: number): Promise<void> => {
    const until = monotonicNow() + OTHERS_WAIT_MS;
    const consumer = names.parkedConsumer(app, null);
    while (isInTerm(of) && monotonicNow() < until) {
      const [events, parked] = await Promise.all([
        unlessNotFound(manager.consumers.info(names.streams.events, names.eventsConsumer)),
        unlessNotFound(manager.consumers.info(names.streams.parked, consumer)),
      ]);
      const areEventsDone = events === null || events.ack_floor.stream_seq >= from - 1 || events.num_pending + events.num_ack_pending === 0;
      if (areEventsDone && (parked === null || parked.num_ack_pending === 0)) break;
      await new Promise<void>((resolve) => clock.after(LOOK_MS, resolve));
    }
    if (isInTerm(of)) await unlessNotFound(manager.consumers.delete(names.streams.parked, consumer));
  };

  const startReader = async (of: Term, from: number): Promise<void> => {
    if (of.reader !== null) return;
    const reader = createOrderReader(
      {
        ...dependencies,
        isTaken: (app, sequence) => isInTerm(of) && sequence >= (of.apps.get(app)?.from ?? Number.POSITIVE_INFINITY),
        accept: (delivery, event, mayBeDone) => of.apps.get(delivery.app)?.ordered.accept(delivery, event, mayBeDone),
      },
      { term: of.name, from },
    );
    of.reader = reader;
    try {
      await reader.start();
    } catch (error) {
      of.reader = null;
      throw error;
    }
  };

  /** Takes an app's deliveries from the next event on, or from where the last owner did. */
  const add = async (of: Term, app: string): Promise<void> => {
    const last = await lastEvent();
    const from = orderRecords.get(app)?.from ?? Math.max(last, of.reader?.readTo() ?? 0) + 1;
    if (isInTerm(of) && !of.apps.has(app)) of.apps.set(app, makeApp(of, app, from));
  };

  const prepare = async (of: Term, app: string, owned: OwnedApp): Promise<void> => {
    owned.state = "preparing";
    try {
      await startReader(of, owned.from);
      if (orderRecords.get(app) === undefined) await orderRecords.put(app, { from: owned.from, state: "taking" });
      await othersAreDone(of, app, owned.from);
      if (!isInTerm(of)) return;
      await owned.ordered.prepare();
      owned.state = "ready";
      logger.info({ app, from: owned.from }, "an ordered app's deliveries are in hand");
    } catch (error) {
      owned.state = "new";
      throw error;
    }
  };

  /** Gives an app that is not ordered any more back to all replicas. */
  const end = async (of: Term, app: string, owned: OwnedApp): Promise<void> => {
    const record = orderRecords.get(app);
    if (record?.state === "taking") {
      owned.endingSince = monotonicNow();
      return orderRecords.put(app, { from: record.from, state: "ending" });
    }
    owned.endingSince ??= monotonicNow();
    if (monotonicNow() - owned.endingSince < ENDING_MS || (of.reader?.readTo() ?? 0) < (await lastEvent())) return;
    owned.ordered.stop();
    if (owned.ordered.inFlight() > 0) return;
    of.apps.delete(app);
    await orderRecords.remove(app);
    logger.info({ app }, "an app is not ordered any more");
  };

  const reconcile = async (of: Term): Promise<void> => {
    const wanted = new Set(orderRecords.apps());
    for (const app of registry.apps()) if (isOrdered(app)) wanted.add(app.slug);
    for (const app of wanted) if (!of.apps.has(app)) await add(of, app);
    for (const [app, owned] of of.apps) {
      if (owned.state === "new") void prepare(of, app, owned).catch(later);
      if (!isOrdered(registry.app(app))) await end(of, app, owned);
      else if (orderRecords.get(app)?.state === "ending") {
        owned.endingSince = null;
        await orderRecords.put(app, { from: (await lastEvent()) + 1, state: "taking" });
      }
    }
  };

  /** Tried again with the next refresh. */
  const later = (error: unknown): void => logger.warn({ error: messageOf(error) }, "ordered apps can't be taken in hand yet");

  let isReconciling = false;
  const reconcileSoon = (): void => {
    const of = term;
    if (of === null || !isInTerm(of) || stopping || isReconciling) return;
    isReconciling = true;
    reconcile(of)
      .catch(later)
      .finally(() => {
        isReconciling = false;
      });
  };

  const refresh = async (): Promise<void> => {
    reconcileSoon();
    for (const { ordered } of term?.apps.values() ?? []) {
      await ordered.refresh().catch((error: unknown) => logger.debug({ error: messageOf(error) }, "an ordered queue can't be looked at"));
    }
    if (!stopping) cancelRefresh = clock.after(REFRESH_MS, () => void refresh());
  };

  /** Goes on where the last owner was. */
  const takeOver = async (of: Term): Promise<void> => {
    for (const app of orderRecords.apps()) {
      if (!of.apps.has(app)) of.apps.set(app, makeApp(of, app, orderRecords.get(app)?.from ?? 0));
    }
    if (of.apps.size > 0) {
      const first = Math.min(...[...of.apps.values()].map(({ from }) => from));
      await startReader(of, Math.min(Math.max((of.floorLeft ?? 0) + 1, first), (await lastEvent()) + 1));
    }
    reconcileSoon();
  };

  const lease: Lease = createLease(
    { records, clock, logger, monotonicNow },
    {
      key: OWNER_KEY,
      holder: replica,
      note,
      onTaken(left, name) {
        const floor = left?.["floor"];
        const taken: Term = { name, apps: new Map(), reader: null, floorLeft: typeof floor === "number" ? floor : null };
        term = taken;
        const tryToTakeOver = (): void => {
          takeOver(taken).catch((error: unknown) => {
            logger.warn({ error: messageOf(error) }, "the queues can't be taken over yet");
            if (isInTerm(taken)) clock.after(1_000, tryToTakeOver);
          });
        };
        tryToTakeOver();
      },
      onLost() {
        const lost = term;
        term = null;
        for (const { ordered } of lost?.apps.values() ?? []) ordered.stop();
        void lost?.reader?.stop();
      },
    },
  );

  return {
    start() {
      lease.start();
      cancelRefresh = clock.after(REFRESH_MS, () => void refresh());
    },
    async stop() {
      stopping = true;
      cancelRefresh();
      for (const { ordered } of term?.apps.values() ?? []) ordered.stop();
      await term?.reader?.stop();
    },
    release: () => lease.stop(),
    observe: lease.observe,
    isOwner,
    wake(reason, app, queues) {
      if (!isOwner()) return;
      if (reason === "app" || reason === "order") reconcileSoon();
      for (const [slug, { ordered }] of term?.apps ?? []) {
        if (app !== null && app !== slug) continue;
        if (reason === "parked") {
          for (const { installationUuid } of queues) {
            if (installationUuid === null) void ordered.refresh().catch(() => {});
            else ordered.stored(installationUuid);
          }
        } else if (reason !== "scan") ordered.wake();
      }
      const unordered = [...queues].filter((queue) => queue.installationUuid !== null && !term?.apps.has(queue.app));
      installationQueues.drain(unordered.filter((queue) => !isOrdered(registry.app(queue.app))));
    },
    held: () => [...(term?.apps.values() ?? [])].reduce((sum, { ordered }) => sum + ordered.inFlight(), installationQueues.held()),
    inFlight: () => [
      ...installationQueues.inFlight(),
      ...[...(term?.apps.values() ?? [])].flatMap(({ ordered }) => [...ordered.sequencesInFlight()]),
    ],
  };
}
