/** The key by which an app's deliveries are ordered: those of one key start one at a time, in the order of the events stream. */
import type { OrderBy } from "../../model/app.ts";
import type { Delivery } from "../../model/delivery.ts";
import { valueAt } from "../../model/json-pointer.ts";

/** Keys that come of values end here, however long the value is. */
const MAX_VALUE_LENGTH = 256;

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
