/**
 * Finds out which integrations are broken and, where broken ones go on being delivered to, which have recovered. Looks at
 * the counters of an integration after a failure of it was written, at most once a second each, as they were on the day of
 * that failure; a 410 and a success of a broken one are acted on at once.
 */
import type { AttemptRecord } from "../delivery/ports.ts";
import { messageOf } from "../model/app-error.ts";
import type { Clock } from "../model/clock.ts";
import type { Logger } from "../model/logger.ts";
import type { BrokenRule } from "../model/status-event.ts";
import { type BrokenReason, type HealthRuleOptions, judgeHealth, lastDays } from "./health-rule.ts";
import type { IntegrationStatus, LastFailure } from "./integration-status.ts";
import type { HealthDay, HealthStore } from "./ports.ts";

export interface HealthWatch {
  /** Attempts that don't count are ignored. */
  onAttempt(attempt: AttemptRecord): void;
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
  /**
   * Any success of a broken one is a recovery; but one that fails some deliveries and takes others, so that it broke within
   * this time after it was recovered, has to have been broken for this time. Null where its deliveries park: there a recovery is
   * the probe's (probeSchedule.ts).
   */
  readonly calmMs: number | null;
}

const LOOK_AGAIN_MS = 1_000;
/** One that is broken still, although it takes deliveries, is not asked about again with each. */
const RECOVER_AGAIN_MS = 5_000;
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

  const failedAt = (uuid: string): number => lastFailures.get(uuid)?.endedAt ?? clock.now();

  /** Up to the day of the last failure: one that ended right before midnight is judged by its own day. */
  const daysOf = (uuid: string): string[] => lastDays(failedAt(uuid), options.windowDays);

  const judgeCounters = async (uuid: string): Promise<BrokenReason | null> => judgeHealth(await health.read(uuid, daysOf(uuid)), options);

  const breakNow = async (uuid: string, generation: number, reason: BrokenReason): Promise<void> => {
    if (await status.break(uuid, generation, reason, lastFailures.get(uuid) ?? null))
      logger.warn({ installation_uuid: uuid, rule: reason.rule }, "integration is broken");
  };

  const look = async (uuid: string): Promise<void> => {
    if (!isActive(uuid) || (await judgeCounters(uuid)) === null) return;
    await status.dropStaleCounters(uuid, failedAt(uuid));
    // The counters are read once more, now that it is known which generation they belong to.
    const generation = await status.generation(uuid, failedAt(uuid));
    const reason = generation === null ? null : await judgeCounters(uuid);
    if (generation !== null && reason !== null) await breakNow(uuid, generation, reason);
  };

  /** A 410 breaks although its counter may not be written yet, or Redis is away. */
  const breakAsGone = async (uuid: string): Promise<void> => {
    if (!options.rules.has("fatal") || !isActive(uuid)) return;
    const generation = await status.generation(uuid, failedAt(uuid));
    if (generation === null) return;
    const names = daysOf(uuid);
    const days = await health.read(uuid, names).catch(() => names.map((day): HealthDay => ({ ...EMPTY_DAY, day })));
    const isCounted = days.some(({ fatal }) => fatal > 0);
    const counted = isCounted ? days : days.map((day, at) => (at === days.length - 1 ? { ...day, fatal: 1 } : day));
    const reason = judgeHealth(counted, { ...options, rules: FATAL });
    if (reason !== null) await breakNow(uuid, generation, reason);
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
    onAttempt({ delivery, installation, outcome, responseCode, error, endedAt }) {
      const { uuid } = installation;
      if (!delivery.counted) return;
      if (outcome === "delivered") {
        const { calmMs } = options;
        if (calmMs === null || installation.status !== "broken" || recovering.has(uuid)) return;
        recovering.add(uuid);
        let againAfterMs = 0;
        const recovery = status.recover(uuid, calmMs).then((changed) => {
          if (!changed) againAfterMs = RECOVER_AGAIN_MS;
          else logger.info({ installation_uuid: uuid }, "integration has recovered");
        });
        void attemptTo("recovering", uuid, recovery).finally(() => clock.after(againAfterMs, () => recovering.delete(uuid)));
        return;
      }
      remember(uuid, { responseCode, error, endedAt });
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

const FATAL: ReadonlySet<string> = new Set<BrokenRule>(["fatal"]);
const EMPTY_DAY: HealthDay = { day: "", success: 0, error: 0, timeout: 0, fatal: 0 };
