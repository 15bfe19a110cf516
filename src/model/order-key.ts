/** The place of a delivery in the order of its app. */
import type { OrderBy } from "./app.ts";
import type { Delivery } from "./delivery.ts";
import { valueAt } from "./json-pointer.ts";

export interface OrderPlace {
  readonly key: string;
  /** Among those of its key; null: behind all of them. */
  readonly eventSequence: number | null;
}

/** Keys that come of values end here, however long the value is. */
const MAX_VALUE_LENGTH = 256;

/** Deliveries of one key start one at a time, in the order of the events stream. */
export function orderKeyOf({ installationUuid, event, id, replay }: Delivery, orderBy: OrderBy): string {
  switch (orderBy) {
    case "none":
      // Each by itself.
      return `${id}:${replay ?? ""}`;
    case "app":
      return "";
    case "installation":
      return installationUuid;
    case "project":
      return `${installationUuid} ${event.projectId ?? ""}`;
    default:
      return `${installationUuid} ${valueAt(event.dataJson, orderBy).slice(0, MAX_VALUE_LENGTH)}`;
  }
}
