/**
 * Which apps are failing now, judged by their attempts of the last 15 minutes over all replicas.
 *
 * HEALTH-1  An app fails from at least 20 attempts on, of which half or more were not delivered, until less than a quarter were not.
 *           An app without attempts stays as it is: no traffic says nothing about the receiver.
 * HEALTH-2  While Redis is down, nothing is judged and nothing changes.
 */
import { AppError, messageOf } from "../model/app-error.ts";
import type { Clock } from "../model/clock.ts";
import type { Logger } from "../model/logger.ts";
import { every } from "../model/periodic.ts";
import { type RecentAttempts, totalsOf } from "../model/recent-attempts.ts";
import type { ChangeAppHealth } from "./app-health-store.ts";
import { createPacedChecks } from "./paced-checks.ts";

export interface AppHealth {
  /** Counted attempts were written. @param apps app → whether any of them failed */
  attemptsWritten(apps: ReadonlyMap<string, boolean>): void;
  /** The shared state has changed. @param since when the app began to fail, milliseconds since the epoch; null: it is healthy */
  update(app: string, since: number | null): void;
  /** When the app began to fail; null: it is healthy. */
  failingSince(app: string): number | null;
  /** Failing apps → their attempts when they were last judged. */
  failing(): ReadonlyMap<string, number>;
  start(): void;
  /** Resolves when no check is under way. */
  stop(): Promise<void>;
}

export interface AppHealthDependencies {
  readonly recentAttempts: (app: string) => Promise<RecentAttempts>;
  readonly change: ChangeAppHealth;
  readonly isKnown: (app: string) => boolean;
  readonly clock: Clock;
  readonly logger: Logger;
}

const MIN_ATTEMPTS = 20;
const CHECK_PERIOD_MS = 1_000;
/** Failures leave the window without an attempt, and a check may have failed. */
const RECHECK_MS = 15_000;

export function createAppHealth({ recentAttempts, change, isKnown, clock, logger }: AppHealthDependencies): AppHealth {
  const failing = new Map<string, { readonly since: number; attempts: number }>();
  /** Their last check failed. */
  const unjudged = new Set<string>();

  const judge = async (app: string): Promise<void> => {
    unjudged.delete(app);
    if (!isKnown(app)) return;
    const recent = await recentAttempts(app);
    const { attempts, failures } = totalsOf(recent);
    const current = failing.get(app);
    if (current !== undefined) current.attempts = attempts;
    const state = judgement(attempts, failures, current !== undefined);
    if (state !== null && (await change(app, state, recent))) logger.info({ app, attempts, failures }, `app is ${state}`);
  };

  const checks = createPacedChecks(clock, CHECK_PERIOD_MS, (app) =>
    judge(app).catch((error: unknown) => {
      unjudged.add(app);
      // Others report an unreachable Redis.
      if (isRedisDown(error)) return;
      logger.warn({ app, error: messageOf(error) }, "the health of an app can't be judged now, retrying");
    }),
  );
  const rechecks = every(clock, RECHECK_MS, () => {
    for (const app of [...failing.keys(), ...unjudged]) checks.request(app);
  });

  return {
    attemptsWritten(apps) {
      for (const [app, hasFailed] of apps) if (hasFailed || failing.has(app)) checks.request(app);
    },
    update(app, since) {
      if (since === null) failing.delete(app);
      else failing.set(app, { since, attempts: failing.get(app)?.attempts ?? 0 });
    },
    failingSince: (app) => failing.get(app)?.since ?? null,
    failing: () => new Map([...failing].map(([app, { attempts }]) => [app, attempts])),
    start: rechecks.startLater,
    async stop() {
      rechecks.stop();
      await checks.idle();
    },
  };
}

function isRedisDown(error: unknown): boolean {
  return error instanceof AppError && error.code === "REDIS_UNREACHABLE";
}

/** HEALTH-1. Null: no change. */
function judgement(attempts: number, failures: number, isFailing: boolean): "failing" | "healthy" | null {
  if (isFailing) return attempts > 0 && failures * 4 < attempts ? "healthy" : null;
  return attempts >= MIN_ATTEMPTS && failures * 2 >= attempts ? "failing" : null;
}
