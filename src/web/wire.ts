/** Names for types that the API's document only has inside answers. */
import type { InstallationsOfApp, Overview, StatusEventPage } from "../client/api-types.generated.ts";

/** Null: unknown, see the overview's problems. */
export type AppRow = Overview["items"][number];

/** An `overview` event of the live overview: all apps, or those that have changed. */
export interface OverviewMessage extends Overview {
  readonly removed?: readonly string[];
}

/** An installation with its backlog and why it is broken. */
export type InstallationRow = InstallationsOfApp["items"][number];

export type StatusEventItem = StatusEventPage["items"][number];
