/** Whether a delivery is of the app that has its slug now, and not of a deleted app that had it before: for the app's own token. */
import type { DeliveryHistory, LocatedDelivery, StoredEvent } from "../model/delivery-location.ts";

export interface OwnershipEvidence {
  readonly located: LocatedDelivery | null;
  readonly history: DeliveryHistory | null;
  readonly stored: StoredEvent | null;
}

/** The strongest evidence decides: the stamp of the message, the time of an attempt, the time of the event. @param createdAt of the app */
export function isOwnDelivery({ located, history, stored }: OwnershipEvidence, createdAt: number | null): boolean {
  if (createdAt === null) return true;
  const stamp = located?.delivery.appCreatedAt ?? null;
  if (stamp !== null) return stamp === createdAt;
  const attemptedAt = history?.runs.findLast(({ last }) => last !== null)?.last?.endedAt;
  const at = located?.storedAt ?? attemptedAt ?? stored?.storedAt;
  return at !== undefined && at >= createdAt;
}
