/**
 * The overview as server-sent events: one `overview` event with all apps, then one with the changed apps whenever some have
 * changed, and a `status` event for each status event. Nothing is read without viewers.
 *
 * LIVE-1  All viewers get the same changes, which are computed once.
 * LIVE-2  A viewer that does not read its stream is disconnected; its browser reconnects and starts with all apps.
 * LIVE-3  A stream ends after LONGEST_WATCH_MS, which bounds how long an expired token still sees it.
 * LIVE-4  A viewer gets all apps once NATS has confirmed the subscription to status events, and again after each reconnect: it gets
 *         every status event after them, and may have missed some before.
 */
import { Readable } from "node:stream";
import { isDeepStrictEqual } from "node:util";
import type { ConnectionState } from "../jetstream/connection.ts";
import type { Following, StatusHistory } from "../jetstream/status-history.ts";
import type { Clock } from "../model/clock.ts";
import type { StatusEvent } from "../model/status-event.ts";
import { type Overview, overviewJson, overviewText, type ReadOverview, withOwnDeadLetters } from "./read-overview.ts";

export interface LiveOverview {
  /** Text of the media type text/event-stream. @param app only this app; null: all. @param isOwner the caller has the app's own token */
  watch(app: string | null, isOwner?: boolean): Readable;
  /** Ends all streams. */
  stop(): void;
}

export interface LiveOverviewDependencies {
  readonly readOverview: ReadOverview;
  readonly statusHistory: Pick<StatusHistory, "follow">;
  readonly onReconnect: ConnectionState["onReconnect"];
  /** When the app was created (model/app.ts); null: unknown, or there is no such app. */
  readonly appCreatedAt: (slug: string) => number | null;
  readonly countOwnDeadLetters: (app: string) => Promise<number>;
  readonly clock: Clock;
}

interface Viewer {
  readonly app: string | null;
  readonly isOwner: boolean;
  /** When the app was created: the stream ends when another app takes the slug. */
  readonly appCreatedAt: number | null;
  readonly stream: Readable;
  readonly since: number;
  /** The viewer has received all apps, since NATS was connected last. */
  isComplete: boolean;
}

const READ_EVERY_MS = 2_000;
/** Reads again this soon after a status event. */
const READ_SOON_MS = 150;
const PAUSE_FACTOR = 10;
const HEARTBEAT_MS = 15_000;
const LONGEST_WATCH_MS = 10 * 60_000;
const MAX_UNREAD_BYTES = 4 * 1024 * 1024;
/** Viewers wait no longer for all apps when NATS does not confirm the subscription; the page takes a longer wait for a buffering proxy. */
const CONFIRM_WITHIN_MS = 2_000;

export function createLiveOverview(dependencies: LiveOverviewDependencies): LiveOverview {
  const { readOverview, appCreatedAt, countOwnDeadLetters, clock } = dependencies;
  const viewers = new Set<Viewer>();
  let lastSent: Overview | undefined;
  let isReading = false;
  let heartbeatAt = 0;
  let cancel = (): void => {};

  const send = ({ stream }: Viewer, text: string): void => {
    stream.push(text);
    if (stream.readableLength > MAX_UNREAD_BYTES) stream.destroy();
  };

  const end = (viewer: Viewer): void => {
    viewers.delete(viewer);
    viewer.stream.push(null);
  };

  /** Ends streams whose app was removed and whose slug another app has now. */
  const endReplaced = (): void => {
    for (const viewer of viewers) {
      const createdAt = viewer.app === null ? null : appCreatedAt(viewer.app);
      if (createdAt !== null && createdAt !== viewer.appCreatedAt) end(viewer);
    }
  };

  const broadcast = (found: Overview, own: ReadonlyMap<string | null, number | null>): void => {
    endReplaced();
    const changed = changes(lastSent ?? found, found);
    for (const viewer of viewers) {
      const text = viewer.isComplete ? changed(viewer.app) : event(overviewJson(found, viewer.app));
      viewer.isComplete = true;
      if (text !== null) send(viewer, viewer.isOwner ? withOwnDeadLetters(text, own.get(viewer.app) ?? null) : text);
    }
    lastSent = found;
    const now = clock.now();
    for (const viewer of viewers) if (now - viewer.since >= LONGEST_WATCH_MS) end(viewer);
    if (now - heartbeatAt < HEARTBEAT_MS) return;
    heartbeatAt = now;
    for (const viewer of viewers) send(viewer, ":\n\n");
  };

  const run = async (): Promise<void> => {
    if (isReading || viewers.size === 0) return;
    isReading = true;
    cancel();
    const startedAt = clock.now();
    const [found, own] = await Promise.all([readOverview(), countForOwners(viewers, countOwnDeadLetters)]);
    isReading = false;
    broadcast(found, own);
    if (viewers.size > 0) cancel = clock.after(pauseAfter(clock.now() - startedAt), () => void run());
  };

  const onStatus = (change: StatusEvent): void => {
    const text = `event: status\ndata: ${JSON.stringify(change)}\n\n`;
    endReplaced();
    for (const viewer of viewers) if (viewer.app === null || viewer.app === change.data.app) send(viewer, text);
    // The registry's watch delivers the change itself a moment later.
    if (isReading) return;
    cancel();
    cancel = clock.after(READ_SOON_MS, () => void run());
  };

  const sendAll = (): void => {
    for (const viewer of viewers) viewer.isComplete = false;
    void run();
  };

  const follower = createFollower(dependencies, onStatus, sendAll);

  return {
    watch(app, isOwner = false) {
      const stream = new Readable({
        read() {},
        destroy(error, done) {
          viewers.delete(viewer);
          if (viewers.size === 0) {
            cancel();
            follower.end();
            lastSent = undefined;
          }
          done(error);
        },
      });
      const appCreated = app === null ? null : appCreatedAt(app);
      const viewer: Viewer = { app, isOwner, appCreatedAt: appCreated, stream, since: clock.now(), isComplete: false };
      viewers.add(viewer);
      // The first bytes make the server send the headers.
      stream.push(":\n\n");
      if (follower.isFollowing()) void run();
      else follower.begin();
      return stream;
    },

    stop() {
      for (const viewer of viewers) end(viewer);
    },
  };
}

/** @param onGap called when NATS has confirmed the subscription, first and after each reconnect, or does not in time (LIVE-4) */
function createFollower(
  { statusHistory, onReconnect, clock }: LiveOverviewDependencies,
  onStatus: (change: StatusEvent) => void,
  onGap: () => void,
) {
  let following: Following | undefined;
  const confirm = async (started: Following): Promise<void> => {
    const cancel = clock.after(CONFIRM_WITHIN_MS, onGap);
    // When the connection is lost before, a reconnect follows.
    await started.confirm().catch(() => {});
    cancel();
    onGap();
  };
  onReconnect(() => {
    if (following !== undefined) void confirm(following);
  });
  return {
    isFollowing: () => following !== undefined,
    begin() {
      following = statusHistory.follow(onStatus);
      void confirm(following);
    },
    end() {
      following?.end();
      following = undefined;
    },
  };
}

/** Reading takes at most a tenth of the time. */
function pauseAfter(tookMs: number): number {
  return Math.min(HEARTBEAT_MS, Math.max(READ_EVERY_MS, tookMs * PAUSE_FACTOR));
}

/** App → its own dead letters, for the viewers with its own token. */
async function countForOwners(
  viewers: Iterable<Viewer>,
  count: (app: string) => Promise<number>,
): Promise<ReadonlyMap<string | null, number | null>> {
  const slugs = new Set([...viewers].flatMap(({ app, isOwner }) => (isOwner && app !== null ? [app] : [])));
  return new Map(await Promise.all([...slugs].map(async (app) => [app, await count(app).catch(() => null)] as const)));
}

function event(json: string): string {
  return `event: overview\ndata: ${json}\n\n`;
}

/** Text for a viewer of one app or (null) all apps; null: nothing has changed for it. */
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
