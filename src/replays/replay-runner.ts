/**
 * Runs the replays that are to run, on the replica that owns the queues. Another replica that takes over resumes them from their records.
 * Records of replays that ended long ago are removed.
 */
import { messageOf } from "../model/app-error.ts";
import type { Clock } from "../model/clock.ts";
import type { Logger } from "../model/logger.ts";
import { every } from "../model/periodic.ts";
import type { ReplayState } from "../model/replay.ts";
import { hasEnded } from "./replay-record.ts";
import type { ReplayStore } from "./replay-store.ts";

export interface ReplayRunner {
  start(): void;
  /** Starts nothing any more. Resolves when what was sent is delivered or stored. */
  stop(): Promise<void>;
}

/** The members of a record that the runner reads and writes. */
export interface Runnable {
  readonly id: string;
  readonly state: ReplayState;
  readonly error: string | null;
  readonly updated_at: number;
  readonly ended_at: number | null;
  readonly runner: string | null;
}

export interface ReplayRun<R> {
  readonly replay: R;
  /** False: it was paused or cancelled, or another replica has it. */
  readonly isWanted: () => boolean;
  /** False: another replica has it. */
  readonly isOurs: () => boolean;
  /** Writes progress into the record. */
  readonly save: (changes: Partial<R>) => Promise<void>;
}

export interface ReplayRunnerDependencies<R> {
  readonly store: ReplayStore<R>;
  /** Resolves when the replay has ended or is not wanted any more. @throws AppError of a server that does not answer */
  readonly runReplay: (run: ReplayRun<R>) => Promise<void>;
  /** The members that change because it can't run any more, its error among them; null: it can. */
  readonly moot: (replay: R) => Partial<R> | null;
  /** Records of ended replays are kept this long. */
  readonly keptMs: number;
  /** For the log. */
  readonly countsOf: (replay: R) => object;
  /** Whether this replica runs the replays. */
  readonly isOwner: () => boolean;
  /** Whether it may still finish what it has begun. */
  readonly isHeld: () => boolean;
  readonly replica: string;
  readonly clock: Clock;
  readonly logger: Logger;
}

const LOOK_EVERY_MS = 500;
const AGAIN_AFTER_MS = 1_000;
const REMOVE_EVERY_MS = 600_000;

export function createReplayRunner<R extends Runnable>({ store, runReplay, ...given }: ReplayRunnerDependencies<R>): ReplayRunner {
  const { moot, keptMs, countsOf, isOwner, isHeld, replica, clock, logger } = given;
  const runs = new Map<string, Promise<void>>();
  let isStopping = false;
  let removedAt = Number.NEGATIVE_INFINITY;
  let terms = 0;

  const take = (id: string, runner: string): Promise<R> =>
    store.update(id, (record) => {
      if (record.state !== "running") return record;
      const changes = moot(record);
      if (changes === null) return { ...record, runner };
      return { ...record, ...changes, runner: null, state: "failed", ended_at: clock.now() };
    });

  const run = async (id: string): Promise<void> => {
    const runner = `${replica}-${++terms}`;
    const replay = await take(id, runner);
    if (replay.state !== "running") return;
    logger.info({ replay: id }, "replay runs here");
    const isOurs = (): boolean => isHeld() && store.known(id)?.runner === runner;
    await runReplay({
      replay,
      isOurs,
      isWanted: () => !isStopping && isOwner() && isOurs() && store.known(id)?.state === "running" && moot(replay) === null,
      async save(changes) {
        await store.update(id, (record) => {
          if (record.runner !== runner) return record;
          const { state, ended_at, ...progress } = changes;
          const end = state !== undefined && record.state === "running" ? { state, ended_at: ended_at ?? null } : {};
          return { ...record, ...progress, ...end, updated_at: clock.now() };
        });
      },
    });
    const last = store.known(id) ?? replay;
    logger.info({ replay: id, state: last.state, ...countsOf(last) }, "replay does not run any more");
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
      if (hasEnded(record) && (record.ended_at ?? 0) < clock.now() - keptMs) await store.remove(record.id);
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
