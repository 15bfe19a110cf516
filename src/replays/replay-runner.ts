/**
 * Runs the replays that are to run, on the replica that owns the queues. Another replica that takes over resumes them from their records.
 * Records of replays that ended long ago are removed.
 */
import type { App } from "../model/app.ts";
import { messageOf } from "../model/app-error.ts";
import type { Clock } from "../model/clock.ts";
import type { Logger } from "../model/logger.ts";
import { every } from "../model/periodic.ts";
import { hasEnded, type ReplayRecord } from "./replay-record.ts";
import type { ReplayStore } from "./replay-store.ts";
import type { RunReplay } from "./run-replay.ts";

export interface ReplayRunner {
  start(): void;
  /** Starts nothing any more. Resolves when what was sent is delivered or stored. */
  stop(): Promise<void>;
}

export interface ReplayRunnerDependencies {
  readonly store: ReplayStore;
  readonly runReplay: RunReplay;
  /** Whether this replica runs the replays. */
  readonly isOwner: () => boolean;
  /** Whether it may still finish what it has begun. */
  readonly isHeld: () => boolean;
  readonly app: (slug: string) => App | undefined;
  readonly replica: string;
  readonly clock: Clock;
  readonly logger: Logger;
}

const LOOK_EVERY_MS = 500;
const AGAIN_AFTER_MS = 1_000;
/** Records of ended replays are kept this long; their counts in Redis are kept longer. */
const KEPT_MS = 7 * 86_400_000;
const REMOVE_EVERY_MS = 600_000;

export function createReplayRunner({ store, runReplay, ...given }: ReplayRunnerDependencies): ReplayRunner {
  const { isOwner, isHeld, app: appOf, replica, clock, logger } = given;
  const runs = new Map<string, Promise<void>>();
  let isStopping = false;
  let removedAt = Number.NEGATIVE_INFINITY;
  let terms = 0;

  /** Another app may have taken the slug. */
  const hasApp = ({ app, app_created_at }: ReplayRecord): boolean => appOf(app)?.createdAt === app_created_at;

  const take = (id: string, runner: string): Promise<ReplayRecord> =>
    store.update(id, (record) => {
      if (record.state !== "running") return record;
      if (hasApp(record)) return { ...record, runner };
      const error = `app ${record.app} was deleted`;
      return { ...record, runner: null, state: "failed", error, waiting_for: null, ended_at: clock.now() };
    });

  const run = async (id: string): Promise<void> => {
    const runner = `${replica}-${++terms}`;
    const replay = await take(id, runner);
    if (replay.state !== "running") return;
    logger.info({ replay: id, app: replay.app }, "replay runs here");
    const isOurs = (): boolean => isHeld() && store.known(id)?.runner === runner;
    await runReplay({
      replay,
      isOurs,
      isWanted: () => !isStopping && isOwner() && isOurs() && store.known(id)?.state === "running" && hasApp(replay),
      async save(changes) {
        await store.update(id, (record) => {
          if (record.runner !== runner) return record;
          const { state, ended_at, ...progress } = changes;
          const end = state !== undefined && record.state === "running" ? { state, ended_at: ended_at ?? null } : {};
          return { ...record, ...progress, ...end, updated_at: clock.now() };
        });
      },
    });
    const { state, counts } = store.known(id) ?? replay;
    logger.info({ replay: id, app: replay.app, state, ...counts }, "replay does not run any more");
  };

  const start = (id: string): void => {
    const begun = run(id)
      .catch(async (error: unknown) => {
        logger.warn({ replay: id, error: messageOf(error) }, "replay interrupted, trying again");
        await new Promise<void>((resolve) => clock.after(AGAIN_AFTER_MS, resolve));
      })
      .finally(() => {
        runs.delete(id);
        look();
      });
    runs.set(id, begun);
  };

  const look = (): void => {
    if (isStopping || !isOwner()) return;
    for (const { id, state } of store.all()) if (state === "running" && !runs.has(id)) start(id);
  };

  const removeOld = async (): Promise<void> => {
    if (!isOwner() || clock.now() - removedAt < REMOVE_EVERY_MS) return;
    removedAt = clock.now();
    for (const record of [...store.all()]) {
      if (hasEnded(record) && (record.ended_at ?? 0) < clock.now() - KEPT_MS) await store.remove(record.id);
    }
  };

  const periodic = every(
    clock,
    LOOK_EVERY_MS,
    () => {
      look();
      return removeOld();
    },
    (error) => logger.warn({ error: messageOf(error) }, "old replays can't be removed; trying again"),
  );
  store.onChange(look);

  return {
    start: periodic.startLater,
    async stop() {
      isStopping = true;
      periodic.stop();
      await Promise.all(runs.values());
    },
  };
}
