/**
 * One replica at a time, by a lease, owns what has an order or no consumer: it reads the events of ordered apps, keeps their deliveries
 * in order, and empties the queues of installations. The others leave all that alone.
 */

import type { ParkedQueue } from "../../delivery/ports.ts";
import { createLease, type Lease, type TakenLease } from "../../jetstream/lease.ts";
import type { LeaseRecords } from "../../jetstream/lease-record.ts";
import { isOrdered } from "../../model/app.ts";
import { messageOf } from "../../model/app-error.ts";
import type { Clock } from "../../model/clock.ts";
import { STOPS } from "../../model/key-stop.ts";
import { every } from "../../model/periodic.ts";
import type { Fence } from "../parked/fence.ts";
import { createInstallationQueues, type InstallationQueuesDependencies } from "../parked/installation-queues.ts";
import type { WakeReason } from "../parked/parked-queues.ts";
import type { OrderedApp } from "./ordered-app.ts";
import { type OwnerTerm, type OwnerTermDependencies, startOwnerTerm } from "./owner-term.ts";

export type QueueOwner = ReturnType<typeof createQueueOwner>;

export interface QueueOwnerDependencies
  extends Omit<OwnerTermDependencies, "monotonicNow">,
    Omit<InstallationQueuesDependencies, "fenceNow" | keyof OwnerTermDependencies> {
  readonly monotonicNow?: () => number;
  readonly records: LeaseRecords;
  /** Names this replica. */
  readonly replica: string;
  /** Queues that hold something. */
  readonly busyQueues: () => Iterable<ParkedQueue>;
}

export const OWNER_KEY = "lease.queues";

const REFRESH_MS = 3_000;
const START_AGAIN_MS = 1_000;
const REMOVED_MS = 20;

export function createQueueOwner({ monotonicNow = () => performance.now(), ...dependencies }: QueueOwnerDependencies) {
  const { records, registry, clock, logger, replica, poisonLimit, busyQueues } = dependencies;
  /** The lease of the present term, and the term once it has started. */
  let taken: TakenLease | null = null;
  let term: OwnerTerm | null = null;
  let stopping = false;

  const isOwner = (): boolean => lease.isHeld() && !stopping;
  /** Null: this replica does not own the queues, or not yet. */
  const termNow = (): OwnerTerm | null => (isOwner() ? term : null);
  const fenceNow = (): Fence | null => termNow()?.fence ?? null;
  /** The queues of an ordered app are its own to empty, also one that is being emptied when the app becomes ordered. */
  const hasNoOrder = (app: string): boolean => term?.apps.has(app) !== true && !isOrdered(registry.app(app));
  const installationQueues = createInstallationQueues({
    ...dependencies,
    fenceNow,
    isFlowing: (queue) => hasNoOrder(queue.app) && dependencies.isFlowing(queue),
  });
  const orderedApps = () => [...(term?.apps.all() ?? [])].map(([, ordered]) => ordered);

  const drain = (queues: Iterable<ParkedQueue>): void =>
    installationQueues.drain([...queues].filter(({ installationUuid }) => installationUuid !== null));

  const refreshing = every(clock, REFRESH_MS, () => term?.refresh());

  const begin = async (of: TakenLease): Promise<void> => {
    const isWanted = (): boolean => taken === of && !stopping;
    try {
      const started = await startOwnerTerm({ ...dependencies, monotonicNow }, of, () => taken === of && lease.isHeld());
      if (!isWanted()) return await started.stop();
      term = started;
      drain(busyQueues());
    } catch (error) {
      logger.warn({ error: messageOf(error) }, "the queues can't be taken over yet");
      clock.after(START_AGAIN_MS, () => {
        if (isWanted()) void begin(of);
      });
    }
  };

  const lease: Lease = createLease(
    { records, clock, logger, monotonicNow },
    {
      key: OWNER_KEY,
      holder: replica,
      note: () => term?.note() ?? taken?.left ?? {},
      onTaken(of) {
        taken = of;
        void begin(of);
      },
      onLost() {
        const lost = term;
        taken = term = null;
        void lost?.stop();
      },
    },
  );

  return {
    start(): void {
      lease.start();
      refreshing.startLater();
    },
    /** Starts nothing any more; attempts in flight continue. */
    async stop(): Promise<void> {
      stopping = true;
      refreshing.stop();
      poisonLimit.stop();
      await term?.stop();
    },
    /** For another replica to take over at once. */
    release: () => lease.stop(),
    /** The lease's record was pushed. */
    observe: lease.observe,
    isOwner,
    /** As `isOwner`, but also while this replica stops and finishes what it has begun. */
    isHeld: lease.isHeld,
    /** Every event that it reads is done or stored up to this sequence; null: it reads none of the app. */
    readUpTo: (app: string): number | null => (dependencies.orderRecords.get(app) === undefined ? null : (term?.floor() ?? 0)),
    wake(reason: WakeReason, app: string | null, queues: Iterable<ParkedQueue>): void {
      const now = termNow();
      if (now === null) return;
      if (reason === "app" || reason === "order") now.reconcile();
      for (const [slug, ordered] of now.apps.all()) if (app === null || app === slug) wakeOne(ordered, reason, queues);
      drain(queues);
    },
    /** Deliveries that wait for their retry in the app's order may start now. @returns how many; null: this replica is not the owner */
    retryNow(app: string): number | null {
      const now = termNow();
      return now && (now.apps.get(app)?.retryNow() ?? 0);
    },
    term: termNow,
    /** A dead letter was removed: the key that it stopped continues. */
    deadLetterRemoved: createRemovals(clock, orderedApps),
    /** Attempts in flight. */
    held: () => orderedApps().reduce((sum, ordered) => sum + ordered.inFlight(), installationQueues.held()),
    /** Sequences in the parked stream that are being attempted. */
    inFlight: () => [...installationQueues.inFlight(), ...orderedApps().flatMap((ordered) => [...ordered.sequencesInFlight()])],
  };
}

/** More may follow at once: apps get them together. */
function createRemovals(clock: Clock, apps: () => readonly OrderedApp[]) {
  const removed = new Set<number>();
  return (sequence: number): void => {
    removed.add(sequence);
    if (removed.size > 1) return;
    clock.after(REMOVED_MS, () => {
      for (const app of apps()) app.deadLettersRemoved(removed);
      removed.clear();
    });
  };
}

function wakeOne(app: OrderedApp, reason: WakeReason, queues: Iterable<ParkedQueue>): void {
  if (reason === "scan") return;
  if (reason !== "parked") return app.wake();
  for (const { installationUuid } of queues) {
    if (installationUuid === null || installationUuid === STOPS) void app.refresh().catch(() => {});
    else app.stored(installationUuid);
  }
}
