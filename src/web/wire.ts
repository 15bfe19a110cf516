/** Names for what the API's document has only inside of its answers. */
import type { InstallationsOfApp, Overview, StatusEventPage } from "../client/api-types.generated.ts";

/** Null: could not be read, see the overview's problems. */
export type AppRow = Overview["items"][number];

/** An `overview` event of the live overview: all apps, or those that have changed. */
export interface OverviewMessage extends Overview {
  readonly removed?: readonly string[];
}

/** With what is parked for it and why it is broken. */
export type InstallationRow = InstallationsOfApp["items"][number];

export type StatusEventItem = StatusEventPage["items"][number];
