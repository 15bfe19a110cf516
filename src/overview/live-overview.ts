/**
 * The overview as it changes, as server-sent events: one `overview` event with all apps, then one whenever something has
 * changed, with the apps that did; and a `status` event for each status event. Nothing is read while nobody looks on.
 *
 * V1  All viewers get the same changes, so that they are found once, whatever the number of viewers.
 * V2  A viewer that does not take what it is sent is let go; its browser comes again and begins with all apps.
 * V3  A stream ends after a while, so that a token that is not valid any more sees no more than that.
 */
import { Readable } from "node:stream";
import { isDeepStrictEqual } from "node:util";
import type { Clock } from "../model/clock.ts";
import type { StatusEvent } from "../model/status-event.ts";
import type { StatusHistory } from "./ports.ts";
import { type Overview, overviewJson, overviewText, type ReadOverview, withOwnDeadLetters } from "./read-overview.ts";

export interface LiveOverview {
  /** Text of the media type text/event-stream. @param app only this app; null for all. @param isOwner asks with the app's own token */
  watch(app: string | null, isOwner?: boolean): Readable;
  /** Ends all of them. */
  stop(): void;
}

export interface LiveOverviewDependencies {
  readonly readOverview: ReadOverview;
  readonly statusHistory: Pick<StatusHistory, "follow">;
  /** model/app.ts; null: there is no such app, or it is not known. */
  readonly appCreatedAt: (slug: string) => number | null;
  readonly countOwnDeadLetters: (app: string) => Promise<number>;
  readonly clock: Clock;
}

interface Viewer {
  readonly app: string | null;
  readonly isOwner: boolean;
  /** When the app was made; it is watched no longer than it is there. */
  readonly appCreatedAt: number | null;
  readonly stream: Readable;
  readonly since: number;
  /** Whether it has had all apps. */
  begun: boolean;
}

const EVERY_MS = 2_000;
const SOON_MS = 150;
/** Reading takes at most a tenth of the time. */
const REST_FACTOR = 10;
const HEARTBEAT_MS = 15_000;
const LONGEST_WATCH_MS = 10 * 60_000;
const MAX_UNREAD_BYTES = 4 * 1024 * 1024;

export function createLiveOverview(dependencies: LiveOverviewDependencies): LiveOverview {
  const { readOverview, statusHistory, appCreatedAt, countOwnDeadLetters, clock } = dependencies;
  const viewers = new Set<Viewer>();
  let before: Overview | undefined;
  let isReading = false;
  let beatAt = 0;
  let unfollow = (): void => {};
  let cancel = (): void => {};

  const send = ({ stream }: Viewer, text: string): void => {
    stream.push(text);
    if (stream.readableLength > MAX_UNREAD_BYTES) stream.destroy();
  };

  const end = (viewer: Viewer): void => {
    viewers.delete(viewer);
    viewer.stream.push(null);
  };

  /** Another app may have taken the slug of the one that was watched. */
  const endStrangers = (): void => {
    for (const viewer of viewers) {
      const createdAt = viewer.app === null ? null : appCreatedAt(viewer.app);
      if (createdAt !== null && createdAt !== viewer.appCreatedAt) end(viewer);
    }
  };

  const countForOwners = async (): Promise<ReadonlyMap<string | null, number | null>> => {
    const slugs = new Set([...viewers].flatMap(({ app, isOwner }) => (isOwner && app !== null ? [app] : [])));
    return new Map(await Promise.all([...slugs].map(async (app) => [app, await countOwnDeadLetters(app).catch(() => null)] as const)));
  };

  const tell = (found: Overview, own: ReadonlyMap<string | null, number | null>): void => {
    endStrangers();
    const changed = changes(before ?? found, found);
    for (const viewer of viewers) {
      const text = viewer.begun ? changed(viewer.app) : event(overviewJson(found, viewer.app));
      viewer.begun = true;
      if (text !== null) send(viewer, viewer.isOwner ? withOwnDeadLetters(text, own.get(viewer.app) ?? null) : text);
    }
    before = found;
    const now = clock.now();
    for (const viewer of viewers) if (now - viewer.since >= LONGEST_WATCH_MS) end(viewer);
    if (now - beatAt < HEARTBEAT_MS) return;
    beatAt = now;
    for (const viewer of viewers) send(viewer, ":\n\n");
  };

  const restAfter = (startedAt: number): number => Math.min(HEARTBEAT_MS, Math.max(EVERY_MS, (clock.now() - startedAt) * REST_FACTOR));

  const run = async (): Promise<void> => {
    if (isReading) return;
    isReading = true;
    cancel();
    const startedAt = clock.now();
    const [found, own] = await Promise.all([readOverview(), countForOwners()]);
    isReading = false;
    tell(found, own);
    if (viewers.size > 0) cancel = clock.after(restAfter(startedAt), () => void run());
  };

  const onStatus = (change: StatusEvent): void => {
    const text = `event: status\ndata: ${JSON.stringify(change)}\n\n`;
    endStrangers();
    for (const viewer of viewers) if (viewer.app === null || viewer.app === change.data.app) send(viewer, text);
    // The registry's watch brings the change itself a moment later.
    if (isReading) return;
    cancel();
    cancel = clock.after(SOON_MS, () => void run());
  };

  return {
    watch(app, isOwner = false) {
      const stream = new Readable({
        read() {},
        destroy(error, done) {
          viewers.delete(viewer);
          if (viewers.size === 0) {
            cancel();
            unfollow();
            before = undefined;
          }
          done(error);
        },
      });
      const appCreated = app === null ? null : appCreatedAt(app);
      const viewer: Viewer = { app, isOwner, appCreatedAt: appCreated, stream, since: clock.now(), begun: false };
      if (viewers.size === 0) unfollow = statusHistory.follow(onStatus);
      viewers.add(viewer);
      // The headers go out with the first bytes.
      stream.push(":\n\n");
      void run();
      return stream;
    },

    stop() {
      for (const viewer of viewers) end(viewer);
    },
  };
}

function event(json: string): string {
  return `event: overview\ndata: ${json}\n\n`;
}

/** What to tell a viewer of one app or of all; null when nothing has changed for it. */
function changes(before: Overview, after: Overview): (app: string | null) => string | null {
  const changed = [...after.apps].filter(([slug, json]) => before.apps.get(slug) !== json);
  const removed = [...before.apps.keys()].filter((slug) => !after.apps.has(slug));
  const isHeadNew = !isDeepStrictEqual({ ...before.head, at: null }, { ...after.head, at: null });
  return (app) => {
    const items = changed.filter(([slug]) => app === null || slug === app).map(([, json]) => json);
    const gone = removed.filter((slug) => app === null || slug === app);
    if (!isHeadNew && items.length === 0 && gone.length === 0) return null;
    return event(overviewText(after.head, app, items, { removed: gone }));
  };
}
