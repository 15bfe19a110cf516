/** Finds the messages that hold deliveries now: at the location that Redis noted, else by a bounded search of the streams. */
import type { DeliveryHistory, LocatedDelivery } from "../model/delivery-location.ts";
import { isTestCall } from "./delivery-state.ts";
import type { FindInStreams } from "./find-in-streams.ts";
import type { Notes } from "./notes.ts";

export interface LookedUpDelivery {
  readonly id: string;
  readonly history: DeliveryHistory | null;
}

/** @param app searches its messages only; null: those of all apps. @returns delivery id → its message */
export async function locateDeliveries(
  streams: Pick<FindInStreams, "at" | "search" | "searched">,
  deliveries: readonly LookedUpDelivery[],
  app: string | null,
  notes?: Notes,
): Promise<Map<string, LocatedDelivery>> {
  const located = new Map<string, LocatedDelivery>();
  const missing = new Set<string>();
  for (const { id, history } of deliveries) {
    const noted = history?.location ? await streams.at(id, history.location) : null;
    if (noted !== null) located.set(id, noted);
    else if (mayBeInStream(history)) missing.add(id);
  }
  if (missing.size === 0) return located;
  notes?.add(`Redis has no current location for some of it: ${streams.searched} were searched.`);
  for (const found of await streams.search(missing, app)) located.set(found.delivery.id, found);
  return located;
}

function mayBeInStream(history: DeliveryHistory | null): boolean {
  return !history?.runs.some(({ delivered }) => delivered) && !isTestCall(history);
}
