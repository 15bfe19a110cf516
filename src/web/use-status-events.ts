/** Status events, newest first and without a gap: pages that were read, and what is pushed since. */
import { useEffect, useRef, useState } from "preact/hooks";
import type { StatusEventPage } from "../client/api-types.generated.ts";
import { topicOf } from "../client/status-texts.ts";
import { call, withQuery } from "./api.ts";
import { useGround } from "./ground.ts";
import { useAction } from "./parts/dialog.tsx";
import { useLoad } from "./use-load.ts";
import type { StatusEventItem } from "./wire.ts";

const PAGE = 50;
/** The API's longest page. */
const LONGEST_PAGE = 1_000;
/** The newest events are read after so many pushed ones, so that earlier ones need not be kept. */
const PUSHED_PER_READ = 250;

/** Each page follows the one before it. */
type Pages = readonly StatusEventPage[];

/** @param topics separated by commas */
export function useStatusEvents(app: string | null, topics: string) {
  const { onStatus } = useGround().feed;
  const [pushed, setPushed] = useState<readonly StatusEventItem[]>([]);
  const received = useRef(0);
  const pages = useRef<Pages>([]);
  /** The oldest pages are dropped beyond so many events: a page that stays open for days must not grow without end. */
  const room = useRef(LONGEST_PAGE);
  const read = (cursor: string | null, limit: number, signal?: AbortSignal): Promise<StatusEventPage> =>
    call(withQuery("v1/status-events", { app, topics, cursor, limit }), signal ? { signal } : {});

  const newest = useLoad(`${app} ${topics}`, async (signal) => {
    const found = [await read(null, PAGE, signal)];
    // After a gap that is longer than all these pages, what was read before it belongs to pages that are not loaded.
    for (let limit = 2 * PAGE; limit <= LONGEST_PAGE && !reaches(found, pages.current); limit *= 2)
      found.push(await read(nextOf(found), limit, signal));
    pages.current = reaches(found, pages.current) ? within(room.current, joined(found, pages.current)) : found;
    return pages.current;
  });
  const more = useAction(async () => {
    for (let cursor = nextOf(pages.current); cursor !== null; cursor = nextOf(pages.current)) {
      const page = await read(cursor, PAGE);
      // Otherwise other pages were loaded meanwhile, and another one follows.
      if (cursor !== nextOf(pages.current)) continue;
      pages.current = [...pages.current, page];
      room.current = Math.max(room.current, itemsOf(pages.current).length + LONGEST_PAGE);
      return;
    }
  });
  useEffect(
    () =>
      onStatus({
        onEvent(event) {
          if (!topics.split(",").includes(topicOf(event.type)) || (app !== null && event.data.app !== app)) return;
          setPushed((before) => [event, ...before].slice(0, 2 * PUSHED_PER_READ));
          if (++received.current % PUSHED_PER_READ === 0) newest.refresh();
        },
        onGap: newest.refresh,
      }),
    [onStatus, newest.refresh],
  );

  const items = itemsOf(pages.current);
  const oldest = nextOf(pages.current) === null ? null : (items.at(-1)?.time ?? null);
  const known = [...pushed.filter(({ time }) => oldest === null || Date.parse(time) >= Date.parse(oldest)), ...items];
  const events = [...new Map(known.map((event) => [event.id, event])).values()];
  return { newest, events, last: pages.current.at(-1) ?? null, more };
}

function itemsOf(pages: Pages): readonly StatusEventItem[] {
  return pages.flatMap(({ items }) => items);
}

function nextOf(pages: Pages): string | null {
  return pages.at(-1)?.next ?? null;
}

/** The sequence of the oldest event. */
function oldestOf(pages: Pages): number {
  return itemsOf(pages).at(-1)?.sequence ?? 0;
}

/** Nothing is missing between what was found now and what was before. */
function reaches(found: Pages, before: Pages): boolean {
  return nextOf(found) === null || oldestOf(found) <= (itemsOf(before)[0]?.sequence ?? Number.POSITIVE_INFINITY);
}

function joined(found: Pages, before: Pages): Pages {
  const oldest = oldestOf(found);
  const rest = before.map(({ items, next }) => ({ items: items.filter(({ sequence }) => sequence < oldest), next }));
  return [...found, ...rest.filter(({ items }) => items.length > 0)];
}

function within(room: number, pages: Pages): Pages {
  const rest = pages.slice(0, -1);
  return itemsOf(rest).length < room ? pages : within(room, rest);
}
