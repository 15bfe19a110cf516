/**
 * The recent attempts of all apps, for a page that asks every few seconds. An app that had none is read again only when its volume
 * has changed: most apps of a large platform are idle.
 */
import type { App } from "../model/app.ts";
import { type RecentAttempts, totalsOf } from "../model/recent-attempts.ts";
import type { Volume } from "../model/stats.ts";

/**
 * @param volumes app → its volume by hour, read before this call. @param hour the start of the last hour
 * @throws AppError REDIS_UNREACHABLE
 */
export type ReadRecentOfApps = (
  apps: readonly Pick<App, "slug" | "createdAt">[],
  volumes: ReadonlyMap<string, readonly Volume[]>,
  hour: number,
) => Promise<ReadonlyMap<string, RecentAttempts>>;

interface Known {
  readonly recent: RecentAttempts;
  /** Changes with the app, the hour and every attempt. */
  readonly volumeKey: string;
}

/** As many as are read at once: in between, deliveries get their turn. */
const APPS_AT_ONCE = 100;

export function createRecentOfApps(read: (app: string) => Promise<RecentAttempts>): ReadRecentOfApps {
  let idle: ReadonlyMap<string, Known> = new Map();

  return async (apps, volumes, hour) => {
    const all = new Map<string, RecentAttempts>();
    const nowIdle = new Map<string, Known>();
    const find = async ({ slug, createdAt }: Pick<App, "slug" | "createdAt">): Promise<void> => {
      const attempts =
        volumes
          .get(slug)
          ?.slice(-2)
          .map((volume) => volume.attempts) ?? [];
      const volumeKey = [createdAt, hour, ...attempts].join();
      const known = idle.get(slug);
      const recent = known?.volumeKey === volumeKey ? known.recent : await read(slug);
      all.set(slug, recent);
      const { attempts: counted, blocked, senderFailed } = totalsOf(recent);
      if (counted + blocked + senderFailed === 0) nowIdle.set(slug, { recent, volumeKey });
    };
    for (let from = 0; from < apps.length; from += APPS_AT_ONCE) await Promise.all(apps.slice(from, from + APPS_AT_ONCE).map(find));
    idle = nowIdle;
    return all;
  };
}
