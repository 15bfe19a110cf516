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
import { createFence } from "../parked/fence.ts";
import type { PoisonLimit, Suspects } from "../parked/poison-limit.ts";
import { createOrderReader, type OrderReader, type OrderReaderDependencies } from "./order-reader.ts";
import { createOrderedApp } from "./ordered-app.ts";
import type { OrderedPorts } from "./ordered-ports.ts";
import { createOwnedApps, type OwnedApps, type OwnedAppsDependencies } from "./owned-apps.ts";

export type OwnerTerm = Awaited<ReturnType<typeof startOwnerTerm>>;

export type OwnerTermDependencies = Omit<
  OrderedPorts,
  "isOwner" | "deadLettersState" | "isDeadLetter" | "isReadBefore" | "parkedStream" | "fence"
> &
  Omit<OrderReaderDependencies, "isHeld" | "isTaken" | "accept"> &
  Omit<OwnedAppsDependencies, "isInTerm" | "createApp" | "startReader" | "readTo"> & { readonly poisonLimit: PoisonLimit };

/** Continues where the last owner was. @param isHeld whether the term's lease runs */
export async function startOwnerTerm(
  dependencies: OwnerTermDependencies,
  { left, wasReleased, term, revision }: TakenLease,
  isHeld: () => boolean,
) {
  const { manager, names, logger, poisonLimit } = dependencies;
  const { events, parked, deadLetters } = names.streams;
  let reader: OrderReader | null = null;
  let isReconciling = false;

  const lastOf = async (stream: string): Promise<number> => (await manager.streams.info(stream)).state.last_seq;
  const [lastEvent, lastParked] = await Promise.all([lastOf(events), lastOf(parked)]);
  poisonLimit.suspect(wasReleased ? suspectsOf(left) : { [events]: lastEvent, [parked]: lastParked });
  const fence = createFence(revision, lastParked);

  const startReader = async (from: number): Promise<void> => {
    if (reader !== null) return;
    reader = createOrderReader(
      {
        ...dependencies,
        isHeld,
        isTaken: (app, sequence) => sequence >= (apps.from(app) ?? Number.POSITIVE_INFINITY),
        accept: (delivery, event, mayBeDone) => apps.get(delivery.app)?.accept(delivery, event, mayBeDone),
      },
      { term, from },
    );
    try {
      await reader.start();
    } catch (error) {
      reader = null;
      throw error;
    }
  };

  const deadLettersState = async () => {
    const { first_seq: first, last_seq, messages } = (await manager.streams.info(deadLetters)).state;
    return { removed: last_seq - messages, first };
  };
  const isDeadLetter = async (sequence: number): Promise<boolean> => (await messageAt(manager, deadLetters, sequence)) !== null;
  const isReadBefore = async (sequence: number): Promise<boolean> => (await reader?.isReadBefore(sequence)) ?? false;
  const ports = { ...dependencies, isOwner: isHeld, deadLettersState, isDeadLetter, isReadBefore, parkedStream: parked, fence };
  const apps: OwnedApps = createOwnedApps({
    ...dependencies,
    isInTerm: isHeld,
    startReader,
    readTo: () => reader?.readTo() ?? 0,
    createApp: (app) => createOrderedApp(ports, app),
  });

  const reconcile = (): void => {
    if (isReconciling || !isHeld()) return;
    isReconciling = true;
    apps
      .reconcile()
      .catch((error: unknown) => logger.warn({ error: messageOf(error) }, "ordered apps can't be taken in hand yet"))
      .finally(() => {
        isReconciling = false;
      });
  };

  apps.resume();
  const first = apps.earliest();
  const floorLeft = Number(left?.["floor"] ?? 0);
  if (first !== null) await startReader(Math.min(Math.max(floorLeft + 1, first), lastEvent + 1));
  reconcile();

  return {
    apps,
    fence,
    /** Every event that it reads is done or stored up to this sequence; 0: it does not read yet. */
    floor: (): number => reader?.floor() ?? 0,
    /** For the next owner. */
    note: (): LeaseNote => ({ floor: reader?.floor() ?? left?.["floor"] ?? null, suspects: poisonLimit.suspects() }),
    reconcile,

    async refresh(): Promise<void> {
      reconcile();
      for (const [app, ordered] of apps.all()) {
        await ordered
          .refresh()
          .catch((error: unknown) => logger.debug({ app, error: messageOf(error) }, "an ordered queue can't be looked at"));
      }
    },

    /** Starts nothing any more, and lets go of events; attempts in flight continue. */
    async stop(): Promise<void> {
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
