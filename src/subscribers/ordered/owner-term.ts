/**
 * One term of the owner of the queues: it reads the events of ordered apps and keeps their deliveries in order.
 *
 * ORDER-7  Nothing that a term began outlives it: when the lease is over no attempt starts and nothing is stored for it, and the next
 *          owner begins with what is stored and with the events after the floor.
 */

import type { TakenLease } from "../../jetstream/lease.ts";
import type { LeaseNote } from "../../jetstream/lease-record.ts";
import { messageAt } from "../../jetstream/stored-message.ts";
import { messageOf } from "../../model/app-error.ts";
import { createFence, type Fence } from "../parked/fence.ts";
import type { PoisonLimit, Suspects } from "../parked/poison-limit.ts";
import { createOrderReader, type OrderReader, type OrderReaderDependencies } from "./order-reader.ts";
import { createOrderedApp } from "./ordered-app.ts";
import type { OrderedPorts } from "./ordered-ports.ts";
import { createOwnedApps, type OwnedApps, type OwnedAppsDependencies } from "./owned-apps.ts";

export interface OwnerTerm {
  /** Continues where the last owner was. Resolves when it has what it needs to own the queues. */
  start(): Promise<void>;
  /** Null: it has not started yet. */
  fence(): Fence | null;
  readonly apps: OwnedApps;
  /** Every event that it reads is done or stored up to this sequence; 0: it does not read yet. */
  floor(): number;
  /** For the next owner. */
  note(): LeaseNote;
  reconcile(): void;
  refresh(): Promise<void>;
  /** Starts nothing any more, and lets go of events; attempts in flight continue. */
  stop(): Promise<void>;
}

export type OwnerTermDependencies = Omit<OrderedPorts, "isOwner" | "isDeadLetter" | "parkedStream" | "fence"> &
  Omit<OrderReaderDependencies, "isHeld" | "isTaken" | "accept"> &
  Omit<OwnedAppsDependencies, "isInTerm" | "createApp" | "startReader" | "readTo"> & { readonly poisonLimit: PoisonLimit };

/** @param isHeld whether the term's lease runs */
export function createOwnerTerm(
  dependencies: OwnerTermDependencies,
  { left, wasReleased, term, revision }: TakenLease,
  isHeld: () => boolean,
): OwnerTerm {
  const { manager, names, logger, poisonLimit } = dependencies;
  let reader: OrderReader | null = null;
  let fence: Fence | null = null;
  let isReconciling = false;

  const apps = createOwnedApps({
    ...dependencies,
    isInTerm: isHeld,
    startReader: (from) => startReader(from),
    readTo: () => reader?.readTo() ?? 0,
    createApp(app) {
      if (fence === null) throw new Error("an ordered app needs the term's fence");
      const isDeadLetter = async (sequence: number): Promise<boolean> =>
        (await messageAt(manager, names.streams.deadLetters, sequence)) !== null;
      return createOrderedApp({ ...dependencies, isOwner: isHeld, isDeadLetter, parkedStream: names.streams.parked, fence }, app);
    },
  });

  const startReader = async (from: number): Promise<void> => {
    if (reader !== null) return;
    const started = createOrderReader(
      {
        ...dependencies,
        isHeld,
        isTaken: (app, sequence) => sequence >= (apps.from(app) ?? Number.POSITIVE_INFINITY),
        accept: (delivery, event, mayBeDone) => apps.get(delivery.app)?.accept(delivery, event, mayBeDone),
      },
      { term, from },
    );
    reader = started;
    try {
      await started.start();
    } catch (error) {
      reader = null;
      throw error;
    }
  };

  const lastOf = async (stream: string): Promise<number> => (await manager.streams.info(stream)).state.last_seq;

  const reconcile = (): void => {
    if (isReconciling || fence === null || !isHeld()) return;
    isReconciling = true;
    apps
      .reconcile()
      .catch((error: unknown) => logger.warn({ error: messageOf(error) }, "ordered apps can't be taken in hand yet"))
      .finally(() => {
        isReconciling = false;
      });
  };

  return {
    apps,
    fence: () => fence,
    floor: () => reader?.floor() ?? 0,

    async start() {
      const { events, parked } = names.streams;
      const [lastEvent, lastParked] = await Promise.all([lastOf(events), lastOf(parked)]);
      poisonLimit.suspect(wasReleased ? suspectsOf(left) : { [events]: lastEvent, [parked]: lastParked });
      fence = createFence(revision, lastParked);
      apps.resume();
      const first = apps.earliest();
      const floorLeft = Number(left?.["floor"] ?? 0);
      if (first !== null) await startReader(Math.min(Math.max(floorLeft + 1, first), lastEvent + 1));
      reconcile();
    },

    note: () => ({ floor: reader?.floor() ?? left?.["floor"] ?? null, suspects: poisonLimit.suspects() }),
    reconcile,

    async refresh() {
      reconcile();
      for (const [app, ordered] of apps.all()) {
        await ordered
          .refresh()
          .catch((error: unknown) => logger.debug({ app, error: messageOf(error) }, "an ordered queue can't be looked at"));
      }
    },

    async stop() {
      apps.stop();
      await reader?.stop();
    },
  };
}

function suspectsOf(left: LeaseNote | null): Suspects {
  const noted = left?.["suspects"];
  return Object.fromEntries(
    Object.entries(typeof noted === "object" && noted !== null ? noted : {}).filter(([, last]) => Number.isSafeInteger(last)),
  );
}
