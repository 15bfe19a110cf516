/**
 * Finds out which integrations are broken and which have recovered. Looks at the counters of an integration after a
 * failure of it was written, at most once a second each; a 410 and a success of a broken one are acted on at once.
 */
import type { AttemptRecord } from "../delivery/ports.ts";
import { messageOf } from "../model/app-error.ts";
import type { Clock } from "../model/clock.ts";
import type { Logger } from "../model/logger.ts";
import { type HealthRuleOptions, judgeHealth, lastDays, utcDay } from "./health-rule.ts";
import type { IntegrationStatus, LastFailure } from "./integration-status.ts";
import type { HealthDay, HealthStore } from "./ports.ts";

export interface HealthWatch {
  /** Every counted attempt. */
  judge(attempt: AttemptRecord): void;
  /** Counters of these installations were written. */
  failuresWritten(installationUuids: ReadonlySet<string>): void;
  /** Resolves when nothing is being looked at. */
  settled(): Promise<void>;
}

export interface HealthWatchDependencies {
  readonly health: HealthStore;
  readonly status: IntegrationStatus;
  readonly isActive: (installationUuid: string) => boolean;
  readonly clock: Clock;
  readonly logger: Logger;
}

export interface HealthWatchOptions extends HealthRuleOptions {
  readonly windowDays: number;
}

const LOOK_AGAIN_MS = 1_000;
/** Installations whose last failure is remembered for the reason of a broken one. */
const MAX_REMEMBERED = 10_000;

export function createHealthWatch(dependencies: HealthWatchDependencies, options: HealthWatchOptions): HealthWatch {
  const { health, status, isActive, clock, logger } = dependencies;
  const lastFailures = new Map<string, LastFailure>();
  const due = new Set<string>();
  const resting = new Set<string>();
  const recovering = new Set<string>();
  const underWay = new Set<Promise<void>>();
  let working: Promise<void> | undefined;

  const remember = (uuid: string, failure: LastFailure): void => {
    lastFailures.delete(uuid);
    lastFailures.set(uuid, failure);
    if (lastFailures.size > MAX_REMEMBERED) lastFailures.delete(lastFailures.keys().next().value ?? "");
  };

  const readDays = (uuid: string): Promise<HealthDay[]> => health.read(uuid, lastDays(clock.now(), options.windowDays));

  const look = async (uuid: string): Promise<void> => {
    if (!isActive(uuid)) return;
    if (judgeHealth(await readDays(uuid), options) === null) return;
    // The counters are read once more, now that it is known which generation they belong to.
    const generation = await status.generation(uuid);
    if (generation === null) return;
    const reason = judgeHealth(await readDays(uuid), options);
    if (reason !== null && (await status.break(uuid, generation, reason, lastFailures.get(uuid) ?? null))) {
      logger.warn({ installation_uuid: uuid, rule: reason.rule }, "integration is broken");
    }
  };

  /** A 410 breaks although its counter may not be written yet, or Redis is away. */
  const breakAsGone = async (uuid: string): Promise<void> => {
    if (!options.rules.has("fatal") || !isActive(uuid)) return;
    const generation = await status.generation(uuid);
    if (generation === null) return;
    const days = await readDays(uuid).catch(() => []);
    const counted: HealthDay[] = days.some(({ fatal }) => fatal > 0)
      ? days
      : [...days.slice(0, -1), { ...(days.at(-1) ?? EMPTY_DAY), day: utcDay(clock.now()), fatal: 1 }];
    const reason = judgeHealth(counted, { ...options, rules: new Set(["fatal"]) });
    if (
      reason !== null &&
      (await status.break(uuid, generation, { ...reason, windowDays: options.windowDays }, lastFailures.get(uuid) ?? null))
    ) {
      logger.warn({ installation_uuid: uuid, rule: reason.rule }, "integration is broken");
    }
  };

  const attemptTo = (what: string, uuid: string, work: Promise<unknown>): Promise<void> => {
    const attempted = work.then(
      () => {},
      (error: unknown) =>
        logger.warn({ installation_uuid: uuid, error: messageOf(error) }, `${what} failed, it is tried again with the next attempt`),
    );
    underWay.add(attempted);
    return attempted.finally(() => underWay.delete(attempted));
  };

  const work = async (): Promise<void> => {
    for (const uuid of due) {
      due.delete(uuid);
      resting.add(uuid);
      clock.after(LOOK_AGAIN_MS, () => {
        // What failed meanwhile was not looked at.
        if (resting.delete(uuid) && lookAgain.delete(uuid)) begin(uuid);
      });
      await attemptTo("looking at the health counters", uuid, look(uuid));
    }
    working = undefined;
  };

  const lookAgain = new Set<string>();
  const begin = (uuid: string): void => {
    if (resting.has(uuid)) {
      lookAgain.add(uuid);
      return;
    }
    due.add(uuid);
    working ??= work();
  };

  return {
    judge({ installation, outcome, responseCode, error }) {
      const { uuid } = installation;
      if (outcome === "delivered") {
        if (installation.status !== "broken" || recovering.has(uuid)) return;
        recovering.add(uuid);
        const recovery = status.recover(uuid).then((changed) => {
          if (changed) logger.info({ installation_uuid: uuid }, "integration has recovered");
        });
        void attemptTo("recovering", uuid, recovery).finally(() => recovering.delete(uuid));
        return;
      }
      remember(uuid, { responseCode, error });
      if (outcome === "gone") void attemptTo("breaking", uuid, breakAsGone(uuid));
    },

    failuresWritten(installationUuids) {
      for (const uuid of installationUuids) begin(uuid);
    },

    async settled() {
      while (working !== undefined || underWay.size > 0) await Promise.all([working, ...underWay]);
    },
  };
}

const EMPTY_DAY: HealthDay = { day: "", success: 0, error: 0, timeout: 0, fatal: 0 };
