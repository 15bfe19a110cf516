/**
 * Probes broken integrations: once per interval, one replica attempts one parked delivery of each. A success recovers the
 * integration. A failure leaves the delivery parked and uses none of its scheduled attempts.
 */
import type { Installation } from "../model/app.ts";
import { messageOf } from "../model/app-error.ts";
import type { Clock } from "../model/clock.ts";
import type { Logger } from "../model/logger.ts";
import { every } from "../model/periodic.ts";
import type { IntegrationStatus } from "./integration-status.ts";

export interface ProbeSchedule {
  start(): void;
  /** Resolves when no probe is running. */
  stop(): Promise<void>;
  /** When the integration was last probed or broke, from its record; null: it is not broken. */
  update(installationUuid: string, probedAt: number | null): void;
  /** A circuit closed: a deferred probe may be possible now. */
  wake(): void;
  /** Something was parked, or a dead letter removed: a look may find what the last one did not. @param installationUuid null: of all */
  lookSoon(installationUuid: string | null): void;
}

/** Runs the probe. `delivered`: the delivery is removed from its queue. `deferred`: there was no attempt. */
export type Probe = () => Promise<"delivered" | "failed" | "deferred">;

export interface ProbeScheduleDependencies {
  readonly installation: (uuid: string) => Installation | undefined;
  readonly status: Pick<IntegrationStatus, "claimRecoveryProbe" | "recover">;
  /** Whether a delivery waits that could be attempted now. */
  readonly isProbePossible: (installation: Installation) => boolean;
  /** Null when no delivery waits that could be attempted, as far as is known. */
  readonly prepareProbe: (installation: Installation) => Promise<Probe | null>;
  readonly clock: Clock;
  readonly logger: Logger;
}

export interface ProbeScheduleOptions {
  readonly intervalMs: number;
}

const LONGEST_PERIOD_MS = 5_000;
const SHORTEST_PERIOD_MS = 50;
/** Between two looks at a queue in which nothing could be attempted: the news that something can be may be lost. */
const LONGEST_WAIT_MS = 60_000;
/** Many at once, so that receivers that hang don't delay the probes of others. */
const MAX_RUNNING = 32;

export function createProbeSchedule(
  { installation, status, isProbePossible, prepareProbe, clock, logger }: ProbeScheduleDependencies,
  { intervalMs }: ProbeScheduleOptions,
): ProbeSchedule {
  /** Installation → when it was last probed. The last probed is last, so that each gets its turn. */
  const probedAts = new Map<string, number>();
  /** Their probe succeeded; the recovery is not stored yet. */
  const delivered = new Set<string>();
  /** Their probe is claimed and was deferred. */
  const deferred = new Set<string>();
  /** Nothing could be attempted. The time until the next look doubles. */
  const idle = new Map<string, { readonly waitMs: number; readonly until: number }>();
  const running = new Map<string, Promise<void>>();
  let isStopped = true;

  /** Claims the probe and runs it. */
  const probe = async (uuid: string): Promise<void> => {
    if (!delivered.has(uuid)) {
      const found = installation(uuid);
      const attempt = found === undefined ? null : await prepareProbe(found);
      if (attempt === null) {
        const waitMs = Math.min(intervalMs, LONGEST_WAIT_MS, 2 * (idle.get(uuid)?.waitMs ?? periodMs));
        idle.set(uuid, { waitMs, until: clock.now() + waitMs });
        return;
      }
      idle.delete(uuid);
      if (isStopped) return;
      if (!(deferred.has(uuid) || (await status.claimRecoveryProbe(uuid, intervalMs)))) return;
      logger.info({ installation_uuid: uuid, app: found?.app }, "probing a broken integration");
      deferred.delete(uuid);
      const result = await attempt();
      if (result === "deferred") deferred.add(uuid);
      if (result !== "delivered") return;
      delivered.add(uuid);
    }
    if (await status.recover(uuid)) logger.info({ installation_uuid: uuid }, "integration has recovered");
    delivered.delete(uuid);
  };

  const isDue = (uuid: string, probedAt: number): boolean => {
    if (delivered.has(uuid)) return true;
    if (!deferred.has(uuid) && clock.now() - probedAt < intervalMs) return false;
    if (clock.now() < (idle.get(uuid)?.until ?? 0)) return false;
    const found = installation(uuid);
    return found !== undefined && isProbePossible(found);
  };

  const probeDue = (): void => {
    for (const [uuid, probedAt] of probedAts) {
      if (running.size >= MAX_RUNNING) break;
      if (running.has(uuid) || !isDue(uuid, probedAt)) continue;
      probedAts.delete(uuid);
      probedAts.set(uuid, probedAt);
      const run = probe(uuid)
        .catch((error: unknown) => logger.warn({ installation_uuid: uuid, error: messageOf(error) }, "probe failed"))
        .finally(() => running.delete(uuid));
      running.set(uuid, run);
    }
  };

  const periodMs = Math.min(LONGEST_PERIOD_MS, Math.max(SHORTEST_PERIOD_MS, intervalMs / 10));
  const probing = every(clock, periodMs, probeDue);

  return {
    start() {
      isStopped = false;
      probing.startLater();
    },
    async stop() {
      isStopped = true;
      probing.stop();
      await Promise.all(running.values());
    },
    update(uuid, probedAt) {
      idle.delete(uuid);
      if (probedAt === null) {
        probedAts.delete(uuid);
        delivered.delete(uuid);
        deferred.delete(uuid);
      } else probedAts.set(uuid, probedAt);
    },
    wake() {
      if (!isStopped) probeDue();
    },
    lookSoon(uuid) {
      if (uuid === null) idle.clear();
      else idle.delete(uuid);
    },
  };
}
