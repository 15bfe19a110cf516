/** A delivery of an ordered app, as its owner knows it. */
import type { HandledMessage } from "../../delivery/ports.ts";
import type { OrderBy } from "../../model/app.ts";
import { type Delivery, dedupKeyOf } from "../../model/delivery.ts";
import type { BlockedBy } from "../../model/delivery-message.ts";
import type { KeyStop } from "../../model/key-stop.ts";
import { orderKeyOf } from "../../model/order-key.ts";
import type { KeyedItem } from "./keyed-queue.ts";
import type { HeldEvent } from "./order-reader.ts";

export interface Entry extends KeyedItem {
  readonly mark: string;
  readonly eventSequence: number | null;
  readonly installationUuid: string;
  /** Milliseconds since the epoch. */
  firstParkedAt: number | null;
  /** Null: it is read when its turn comes. */
  delivery: Delivery | null;
  /** How often it was stored. */
  stores: number;
  message: HandledMessage | null;
  /** Null: it is stored. */
  event: HeldEvent | null;
  /** Its messages in the parked stream; the last one stands for it. */
  sequences: number[];
  /** Monotonic, milliseconds. */
  readonly acceptedAt: number;
  readonly mayBeDone: boolean;
  /** When the next attempt of a stored one is due. */
  readonly retryAt: number | null;
  /** It is a dead letter, and stops its key (STOP-1). */
  stop: EntryStop | null;
  isBeingStored: boolean;
}

/** The entry of a stopped key's dead letter. */
export type StoppingEntry = Entry & { readonly stop: EntryStop };

export function isStopping(entry: Entry): entry is StoppingEntry {
  return entry.stop !== null;
}

export interface EntryStop extends KeyStop, Omit<BlockedBy, "since"> {}

export const NEVER = Number.MAX_SAFE_INTEGER;

export function createEntry(delivery: Delivery, orderBy: OrderBy, acceptedAt: number, members: Partial<Entry>): Entry {
  const { eventSequence, installationUuid, firstParkedAt, stores } = delivery;
  return {
    key: orderKeyOf(delivery, orderBy),
    position: eventSequence ?? NEVER,
    dueAt: 0,
    mark: dedupKeyOf(delivery),
    eventSequence,
    installationUuid,
    firstParkedAt,
    delivery,
    stores,
    message: null,
    event: null,
    sequences: [],
    acceptedAt,
    mayBeDone: true,
    retryAt: null,
    stop: null,
    isBeingStored: false,
    ...members,
  };
}

export function stopOf({ id }: Delivery, by: BlockedBy & Pick<KeyStop, "since">): EntryStop {
  return { ...by, deliveryId: id };
}
