/**
 * The ordered apps that the owner of the queues has in hand in one term. An app comes in and goes out through the states of its routing
 * record (order-records.ts), so that replicas that know the record late leave no delivery to nobody.
 */
import type { JetStreamManager } from "nats";
import type { RegistryView } from "../../delivery/ports.ts";
import { unlessNotFound } from "../../jetstream/nats-errors.ts";
import type { Subjects } from "../../jetstream/subjects.ts";
import { type App, isOrdered } from "../../model/app.ts";
import { messageOf } from "../../model/app-error.ts";
import type { Clock } from "../../model/clock.ts";
import type { Logger } from "../../model/logger.ts";
import { sleep } from "../../model/periodic.ts";
import type { OrderRecords } from "./order-records.ts";
import type { OrderedApp } from "./ordered-app.ts";

export type OwnedApps = ReturnType<typeof createOwnedApps>;

export interface OwnedAppsDependencies {
  readonly orderRecords: OrderRecords;
  readonly registry: Pick<RegistryView, "app"> & { apps(): Iterable<App> };
  readonly manager: JetStreamManager;
  readonly names: Subjects;
  readonly clock: Clock;
  readonly monotonicNow: () => number;
  readonly logger: Logger;
  readonly isInTerm: () => boolean;
  readonly createApp: (app: string) => OrderedApp;
  /** Starts to read events, if nothing is read yet. */
  readonly startReader: (from: number) => Promise<void>;
  /** The last event that was read; 0: none. */
  readonly readTo: () => number;
}

interface OwnedApp {
  readonly ordered: OrderedApp;
  readonly from: number;
  /** It is being prepared, or ready. */
  isBegun: boolean;
  /** When it ceased to be ordered, monotonic, and the last event that replicas may have left to the owner; null: not known yet. */
  ending: { readonly since: number; leftUpTo: number | null } | null;
}

/** Replicas know by then that an app is not ordered any more. */
const ENDING_MS = 20_000;
const LOOK_MS = 200;
/** Longer than what replicas have in hand takes, as nothing of it stays postponed (AHEAD-6), unless it can't be stored. */
const OTHERS_WAIT_MS = 40_000;

export function createOwnedApps(dependencies: OwnedAppsDependencies) {
  const { orderRecords, registry, manager, names, monotonicNow, logger, isInTerm, createApp, startReader, readTo } = dependencies;
  const apps = new Map<string, OwnedApp>();
  let isStopped = false;
  /** Checked after every await: a term that is over changes nothing (ORDER-7). */
  const isActive = (): boolean => !isStopped && isInTerm();

  const lastEvent = async (): Promise<number> => (await manager.streams.info(names.streams.events)).state.last_seq;

  const take = (app: string, from: number): void => {
    if (!apps.has(app)) apps.set(app, { ordered: createApp(app), from, isBegun: false, ending: null });
  };

  const prepare = async (app: string, owned: OwnedApp): Promise<void> => {
    // One that was given back has stopped.
    const isWanted = (): boolean => isActive() && !owned.ordered.isStopped();
    owned.isBegun = true;
    try {
      await startReader(owned.from);
      // A write of the last owner's may have arrived late.
      if (isWanted() && orderRecords.get(app)?.from !== owned.from) await orderRecords.put(app, { from: owned.from, state: "taking" });
      await othersAreDone(dependencies, app, owned.from, isWanted);
      if (!isWanted()) return;
      await owned.ordered.prepare();
      logger.info({ app, from: owned.from }, "an ordered app's deliveries are in hand");
    } catch (error) {
      owned.isBegun = false;
      logger.warn({ app, error: messageOf(error) }, "an ordered app's deliveries can't be taken in hand yet");
    }
  };

  /** Keeps `from`: what is not done since then is the next owner's, if this one ends before it is. */
  const takeAgain = async (app: string, owned: OwnedApp): Promise<void> => {
    const record = orderRecords.get(app);
    if (record?.state !== "ending") return;
    owned.ending = null;
    await orderRecords.put(app, { from: record.from, state: "taking" });
  };

  /** Gives an app that is not ordered any more back to all replicas. */
  const end = async (app: string, owned: OwnedApp): Promise<void> => {
    const record = orderRecords.get(app);
    if (record?.state === "taking") {
      await orderRecords.put(app, { from: record.from, state: "ending" });
      owned.ending = { since: monotonicNow(), leftUpTo: null };
      return;
    }
    owned.ending ??= { since: monotonicNow(), leftUpTo: null };
    if (monotonicNow() - owned.ending.since < ENDING_MS) return;
    owned.ending.leftUpTo ??= await lastEvent();
    const { leftUpTo } = owned.ending;
    if (!isActive() || readTo() < leftUpTo || !owned.ordered.giveBack(leftUpTo)) return;
    apps.delete(app);
    await orderRecords.remove(app);
    logger.info({ app }, "an app is not ordered any more");
  };

  return {
    /** Takes what the last owner had. */
    resume(): void {
      for (const app of orderRecords.apps()) take(app, orderRecords.get(app)?.from ?? 0);
    },

    /** Takes apps that are ordered by now, and gives back those that are not any more. */
    async reconcile(): Promise<void> {
      const wanted = new Set(orderRecords.apps());
      for (const app of registry.apps()) if (isOrdered(app)) wanted.add(app.slug);
      for (const app of wanted) {
        if (apps.has(app)) continue;
        const last = await lastEvent();
        if (isActive()) take(app, orderRecords.get(app)?.from ?? Math.max(last, readTo()) + 1);
      }
      for (const [app, owned] of apps) {
        if (!isActive()) return;
        if (!owned.isBegun) void prepare(app, owned);
        // An app that has stopped is given back before it is taken again.
        if (owned.ordered.isStopped() || !isOrdered(registry.app(app))) await end(app, owned);
        else await takeAgain(app, owned);
      }
    },

    get: (app: string): OrderedApp | undefined => apps.get(app)?.ordered,
    has: (app: string): boolean => apps.has(app),
    *all(): Iterable<readonly [app: string, ordered: OrderedApp]> {
      for (const [app, { ordered }] of apps) yield [app, ordered];
    },
    /** Sequence of the first event that the owner takes for the app; null: it has not the app in hand. */
    from: (app: string): number | null => apps.get(app)?.from ?? null,
    /** The earliest of all apps; null: there is none. */
    earliest: (): number | null => (apps.size === 0 ? null : Math.min(...[...apps.values()].map(({ from }) => from))),
    stop(): void {
      isStopped = true;
      for (const { ordered } of apps.values()) ordered.stop();
    },
  };
}

/** Waits until the app's deliveries that replicas have in hand are done, or stored where the owner finds them. */
async function othersAreDone(dependencies: OwnedAppsDependencies, app: string, from: number, isWanted: () => boolean): Promise<void> {
  const { manager, names, clock, monotonicNow } = dependencies;
  const until = monotonicNow() + OTHERS_WAIT_MS;
  const consumer = names.parkedConsumer(app, null);
  while (isWanted() && monotonicNow() < until) {
    const [events, parked] = await Promise.all([
      unlessNotFound(manager.consumers.info(names.streams.events, names.eventsConsumer)),
      unlessNotFound(manager.consumers.info(names.streams.parked, consumer)),
    ]);
    const areEventsDone = events === null || events.ack_floor.stream_seq >= from - 1 || events.num_pending + events.num_ack_pending === 0;
    if (areEventsDone && (parked === null || parked.num_ack_pending === 0)) break;
    await sleep(clock, LOOK_MS);
  }
  if (isWanted()) await unlessNotFound(manager.consumers.delete(names.streams.parked, consumer));
}
