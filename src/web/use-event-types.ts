/** The event types to choose from: those that were published lately, as far as the token may know them. */
import type { AppStats, EventTypes } from "../client/api-types.generated.ts";
import { call } from "./api.ts";
import { counted } from "./format.ts";
import { useGround } from "./ground.ts";
import { type Loaded, useLoad } from "./use-load.ts";

export interface PublishedType {
  readonly type: string;
  /** Null: not known. */
  readonly events: number | null;
}

export interface PublishedTypes {
  readonly title: string;
  readonly types: readonly PublishedType[];
}

const DAY_MS = 86_400_000;

/** @param app null: an app that is not there yet */
export function useEventTypes(app: string | null): Loaded<PublishedTypes> {
  const { can, session } = useGround();
  return useLoad(`event types ${app}`, async (signal) => {
    // Apps, and what is published for all, are not an organization's.
    if (session.organization_id !== null) return { title: "", types: [] };
    // An app's token does not see what is published for others.
    if (!can.seeAll && app !== null) {
      const { event_types } = await call<AppStats>(`v1/apps/${app}/stats`, { signal });
      return { title: "Sent to this app before", types: event_types.map((type) => ({ type, events: null })) };
    }
    const { items, reaches_back_to } = await call<EventTypes>("v1/event-types", { signal });
    const days = reaches_back_to === null ? 1 : Math.max(1, Math.ceil((Date.now() - Date.parse(reaches_back_to)) / DAY_MS));
    return { title: `Published in the last ${days === 1 ? "day" : counted(days, "day")}`, types: items };
  });
}
