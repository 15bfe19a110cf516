/**
 * Detects broken integrations and, where broken ones are still delivered to, recovered ones. The rule runs after a failure was
 * written, at most once a second per integration, on the counters up to the day of that failure. A 410, and a success of a broken
 * integration, take effect at once.
 */
import type { AttemptRecord } from "../delivery/ports.ts";
import { messageOf } from "../model/app-error.ts";
import type { Clock } from "../model/clock.ts";
import type { Logger } from "../model/logger.ts";
import { COUNTED_AS } from "../model/outcome.ts";
import type { BrokenRule } from "../model/status-event.ts";
import { type BrokenReason, type HealthRuleOptions, judgeHealth, lastDays } from "./health-rule.ts";
import type { IntegrationStatus, LastFailure } from "./integration-status.ts";
import { createPacedChecks } from "./paced-checks.ts";
import type { HealthDay, HealthStore } from "./ports.ts";

export interface HealthWatch {
  /** Attempts that don't count are ignored. */
  onAttempt(attempt: AttemptRecord): void;
  /** Counters of these installations were written. */
  failuresWritten(installationUuids: ReadonlySet<string>): void;
  /** Resolves when no check and no change of a status is under way. */
  idle(): Promise<void>;
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
   * The first success of a broken integration is its recovery. But one that broke within this time after its last recovery must
   * have been broken for this time: it fails some deliveries and accepts others. Null: deliveries to broken integrations are
   * parked, and probe-schedule.ts finds recoveries.
   */
  readonly calmMs: number | null;
}

const CHECK_PERIOD_MS = 1_000;
/** A broken integration that accepts deliveries is not checked for recovery with each of them. */
const RECOVERY_PERIOD_MS = 5_000;
/** Installations whose last failure is kept, for the reason if they break. */
const MAX_LAST_FAILURES = 10_000;

export function createHealthWatch(dependencies: HealthWatchDependencies, options: HealthWatchOptions): HealthWatch {
  const { health, status, isActive, clock, logger } = dependencies;
  const lastFailures = new Map<string, LastFailure>();
  const recovering = new Set<string>();
  const underWay = new Set<Promise<void>>();

  const remember = (uuid: string, failure: LastFailure): void => {
    lastFailures.delete(uuid);
    lastFailures.set(uuid, failure);
    if (lastFailures.size > MAX_LAST_FAILURES) lastFailures.delete(lastFailures.keys().next().value ?? "");
  };

  const failedAt = (uuid: string): number => lastFailures.get(uuid)?.endedAt ?? clock.now();

  /** Up to the day of the last failure: a failure right before midnight belongs to its own day. */
  const daysOf = (uuid: string): string[] => lastDays(failedAt(uuid), options.windowDays);

  const judgeCounters = async (uuid: string): Promise<BrokenReason | null> => judgeHealth(await health.read(uuid, daysOf(uuid)), options);

  const breakNow = async (uuid: string, generation: number, reason: BrokenReason): Promise<void> => {
    if (await status.break(uuid, generation, reason, lastFailures.get(uuid) ?? null))
      logger.warn({ installation_uuid: uuid, rule: reason.rule }, "integration is broken");
  };

  const check = async (uuid: string): Promise<void> => {
    if (!isActive(uuid) || (await judgeCounters(uuid)) === null) return;
    await status.dropStaleCounters(uuid, failedAt(uuid));
    // Read again: only now is the generation known that the counters belong to.
    const generation = await status.generation(uuid, failedAt(uuid));
    const reason = generation === null ? null : await judgeCounters(uuid);
    if (generation !== null && reason !== null) await breakNow(uuid, generation, reason);
  };

  /** A 410 breaks the integration even if its counter is not written yet or Redis is down. */
  const breakAsGone = async (uuid: string): Promise<void> => {
    if (!options.rules.has("fatal") || !isActive(uuid)) return;
    const generation = await status.generation(uuid, failedAt(uuid));
    if (generation === null) return;
    const days = daysOf(uuid);
    const counters = await health.read(uuid, days).catch(() => days.map((day): HealthDay => ({ ...EMPTY_DAY, day })));
    const reason = judgeHealth(withFatal(counters), { ...options, rules: FATAL });
    if (reason !== null) await breakNow(uuid, generation, reason);
  };

  const recover = async (uuid: string, calmMs: number): Promise<void> => {
    let againAfterMs = 0;
    try {
      if (await status.recover(uuid, calmMs)) logger.info({ installation_uuid: uuid }, "integration has recovered");
      else againAfterMs = RECOVERY_PERIOD_MS;
    } finally {
      clock.after(againAfterMs, () => recovering.delete(uuid));
    }
  };

  const attemptTo = (what: string, uuid: string, work: Promise<void>): Promise<void> => {
    const attempted = work.catch((error: unknown) =>
      logger.warn({ installation_uuid: uuid, error: messageOf(error) }, `${what} failed, retrying with the next attempt`),
    );
    underWay.add(attempted);
    return attempted.finally(() => underWay.delete(attempted));
  };

  const checks = createPacedChecks(clock, CHECK_PERIOD_MS, (uuid) => attemptTo("health check", uuid, check(uuid)));

  return {
    onAttempt({ delivery, installation: { uuid, status: current }, outcome, responseCode, error, endedAt }) {
      if (!delivery.counted || COUNTED_AS[outcome] === null) return;
      if (outcome === "delivered") {
        if (options.calmMs === null || current !== "broken" || recovering.has(uuid)) return;
        recovering.add(uuid);
        void attemptTo("recovery", uuid, recover(uuid, options.calmMs));
        return;
      }
      remember(uuid, { responseCode, error, endedAt });
      if (outcome === "gone") void attemptTo("breaking the integration after a 410", uuid, breakAsGone(uuid));
    },

    failuresWritten(installationUuids) {
      for (const uuid of installationUuids) checks.request(uuid);
    },

    async idle() {
      await checks.idle();
      while (underWay.size > 0) await Promise.all(underWay);
    },
  };
}

const FATAL: ReadonlySet<string> = new Set<BrokenRule>(["fatal"]);
const EMPTY_DAY: HealthDay = { day: "", success: 0, error: 0, timeout: 0, fatal: 0 };

/** The counters with a 410 on the last day, unless they have one. */
function withFatal(days: readonly HealthDay[]): readonly HealthDay[] {
  if (days.some(({ fatal }) => fatal > 0)) return days;
  return days.map((day, at) => (at === days.length - 1 ? { ...day, fatal: 1 } : day));
}
