/**
 * GET /v1/find: everything that a text names. It is an id, the beginning of one, or the id of a trace; of an event, a delivery (its
 * webhook-id), an installation, an organization or an app.
 *
 * FIND-1  A search is bounded, and the answer says how far it went.
 * FIND-2  One search of the streams and the log runs at a time in a process.
 */
import { AppError } from "../model/app-error.ts";
import { toRfc3339 } from "../model/clock.ts";
import { nearest } from "../model/nearest.ts";
import type { DeliveryAnswer, EventOfSameId } from "./answer-schemas.ts";
import type { ExplainDelivery } from "./explain-delivery.ts";
import type { ExplainEvent } from "./explain-event.ts";
import type { FindEvents } from "./find-events.ts";
import { findInRegistry } from "./find-in-registry.ts";
import type { FoundItem } from "./found-item.ts";
import { createNotes, type Notes } from "./notes.ts";
import type { RegistrySources } from "./ports.ts";
import type { SearchEverywhere } from "./search-everywhere.ts";
import { seesEverything, type Viewer } from "./viewer.ts";

export interface FindAnswer {
  readonly items: readonly FoundItem[];
  readonly notes: readonly string[];
}

/** @throws AppError NATS_UNREACHABLE */
export type Find = (text: string, viewer: Viewer) => Promise<FindAnswer>;

export interface FindDependencies extends Pick<RegistrySources, "index"> {
  readonly explainDelivery: ExplainDelivery;
  readonly explainEvent: ExplainEvent;
  readonly findEvents: FindEvents;
  readonly searchEverywhere: SearchEverywhere;
}

const DELIVERY_ID = /^dlv_[0-9a-f]{32}$/;
/** A shorter text is in too many ids. */
const SHORTEST_PART = 4;
const MOST_ITEMS = 50;
const PARTS_SEARCHED =
  "The beginning of an id, and a trace, are found among the newest events, deliveries that wait, dead letters and the request log; a whole id is found longer.";
const TOO_SHORT = `The beginning of the id of an event or a delivery has at least ${SHORTEST_PART} characters.`;

export function createFind({ index, explainDelivery, explainEvent, findEvents, searchEverywhere }: FindDependencies): Find {
  const deliveryOf = async (id: string, viewer: Viewer, notes: Notes): Promise<FoundItem[]> => {
    const answer = await unlessNotFound(explainDelivery(id, viewer), notes);
    return answer === null ? [] : [deliveryItem(answer)];
  };

  /** The events with this id, for a viewer that sees everything without explaining each. */
  const eventsOf = async (id: string, viewer: Viewer, notes: Notes): Promise<FoundItem[]> => {
    const query = { id, since: null, type: null, source: null, app: null };
    if (!seesEverything(viewer)) {
      const answer = await unlessNotFound(explainEvent(query, viewer), notes);
      return answer === null ? [] : [answer, ...answer.others].map(eventItem);
    }
    const found = (await unlessNotFound(findEvents(query, notes), notes)) ?? [];
    return found.flatMap(({ stored, noted, deadLetters }): FoundItem[] => {
      const event = stored?.event ?? deadLetters[0]?.delivery.event;
      const at = stored === null ? null : toRfc3339(stored.storedAt);
      const gone = `no longer in the events stream; ${noted.length} deliveries are known`;
      if (event === undefined)
        return [{ kind: "event", id, app: null, organizationId: null, at, detail: stored?.problem ?? gone, event: null }];
      return [{ kind: "event", id, app: event.app, organizationId: event.organizationId, at, detail: event.type, event }];
    });
  };

  const hintOf = (text: string): string[] => {
    const near = nearest(
      text,
      [...index.apps()].map(({ slug }) => slug),
    );
    return near === undefined ? [] : [`Did you mean the app ${near}?`];
  };

  return async (given, viewer) => {
    const text = normalized(given);
    const notes = createNotes();
    const registered = findInRegistry(text, index, viewer);
    if (DELIVERY_ID.test(text)) return { items: await deliveryOf(text, viewer, notes), notes: notes.list() };
    if (registered.some(({ kind, id }) => kind === "installation" && id === text)) return { items: registered, notes: notes.list() };
    const events = await eventsOf(text, viewer, notes);
    const isPart = events.length === 0 && text.length >= SHORTEST_PART;
    const searched = isPart ? await searchEverywhere(text, viewer, notes) : [];
    const items = [...registered, ...events, ...searched];
    if (items.length === 0) notes.add(isPart ? PARTS_SEARCHED : TOO_SHORT);
    if (items.length > MOST_ITEMS) notes.add(`The first ${MOST_ITEMS} of ${items.length} are shown.`);
    const hints = items.length > 0 || !seesEverything(viewer) ? [] : hintOf(text);
    return { items: items.slice(0, MOST_ITEMS), notes: [...hints, ...notes.list()] };
  };
}

/** As people paste it: a header with its name, a traceparent for its trace. */
function normalized(given: string): string {
  const text = given.trim().replace(/^webhook-id:\s*/i, "");
  const trace = /^[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}$/.exec(text)?.[1];
  return trace ?? (/^[0-9A-F]{8}-[0-9A-F-]{27}$/i.test(text) ? text.toLowerCase() : text);
}

export function deliveryItem({ delivery, event }: DeliveryAnswer): FoundItem {
  const { delivery_id: id, app, state, attempts } = delivery;
  const what = event === null ? "" : ` of ${event.type ?? "event"} ${event.id}`;
  return {
    ...{ kind: "delivery", id, app, organizationId: event?.organization_id ?? null },
    ...{ at: attempts.at(-1)?.at ?? event?.stored_at ?? null, detail: `${state}, to ${app}${what}`, event: null },
  };
}

function eventItem({ event: { id, type, source, app, organization_id: organizationId, stored_at: at } }: EventOfSameId): FoundItem {
  return {
    kind: "event",
    id,
    app,
    organizationId,
    at,
    detail: type ?? "no longer in the events stream",
    event: type === null ? null : { type, source },
  };
}

/** Null: there is none, or none without Redis, as a note says. */
async function unlessNotFound<T>(asked: Promise<T>, notes: Notes): Promise<T | null> {
  try {
    return await asked;
  } catch (error) {
    if (!(error instanceof AppError) || (error.code !== "NOT_FOUND" && error.code !== "REDIS_UNREACHABLE")) throw error;
    if (error.code === "REDIS_UNREACHABLE") notes.addRedisDown();
    return null;
  }
}
