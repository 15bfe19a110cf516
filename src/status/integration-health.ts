/** The health of an integration, for people: its status and the reason, its counters, and its backlog. */
import type { ParkedDelivery } from "../delivery/ports.ts";
import type { InstallationStatus } from "../model/app.ts";
import { AppError } from "../model/app-error.ts";
import { type Clock, toRfc3339 } from "../model/clock.ts";
import type { BrokenReasonData } from "../model/status-event.ts";
import type { InstallationRecord } from "../model/stored-records.ts";
import { lastDays } from "./health-rule.ts";
import { INSTALLATION_PREFIX, probedAt } from "./installation-record.ts";
import type { HealthDay, HealthStore, StatusRecords } from "./ports.ts";

/** The answer of the API. */
export interface IntegrationHealth {
  readonly uuid: string;
  readonly status: InstallationStatus;
  /** Null when it is not broken. */
  readonly broken: {
    readonly at: string;
    readonly reason: BrokenReasonData;
    /** In the past while nothing is parked: the next parked delivery is the probe. Null: POSTHORN_BROKEN_ACTION is `deliver`. */
    readonly next_probe_at: string | null;
  } | null;
  /** The counters since it last became active or broke; null when Redis is down. */
  readonly days: readonly HealthDay[] | null;
  readonly parked: {
    readonly deliveries: number;
    readonly oldest_at: string | null;
  };
  /** When it last became active, and how many deliveries waited then; null: it always was active. */
  readonly recovered: { readonly at: string; readonly backlog: number | null } | null;
}

/** @throws AppError NOT_FOUND */
export type QueryHealth = (uuid: string) => Promise<IntegrationHealth>;

export interface HealthQueryDependencies {
  readonly records: Pick<StatusRecords<InstallationRecord>, "read">;
  readonly health: HealthStore;
  readonly parkedCount: (app: string, uuid: string) => Promise<number>;
  readonly oldestParked: (app: string, uuid: string) => Promise<ParkedDelivery | null>;
  readonly clock: Clock;
}

export interface HealthQueryOptions {
  readonly windowDays: number;
  /** Null: broken integrations are not probed. */
  readonly probeIntervalMs: number | null;
}

export function createHealthQuery(
  { records, health, parkedCount, oldestParked, clock }: HealthQueryDependencies,
  { windowDays, probeIntervalMs }: HealthQueryOptions,
): QueryHealth {
  const brokenOf = (record: InstallationRecord): IntegrationHealth["broken"] => {
    const { status, broken_at: at, broken_reason: reason } = record;
    if (status !== "broken" || at === undefined || reason === undefined) return null;
    return {
      at,
      reason,
      next_probe_at: probeIntervalMs === null ? null : toRfc3339(probedAt(record) + probeIntervalMs),
    };
  };

  return async (uuid) => {
    const record = (await records.read(INSTALLATION_PREFIX + uuid))?.record ?? null;
    if (record === null) throw new AppError("NOT_FOUND", `no installation ${uuid}`);
    const { app, recovered_at: recoveredAt } = record;
    const [days, deliveries, oldest] = await Promise.all([
      health.read(uuid, lastDays(clock.now(), windowDays)).catch(() => null),
      parkedCount(app, uuid),
      oldestParked(app, uuid),
    ]);
    const oldestAt = oldest?.delivery.firstParkedAt ?? null;
    return {
      uuid,
      status: record.status,
      broken: brokenOf(record),
      days,
      parked: { deliveries, oldest_at: oldestAt === null ? null : toRfc3339(oldestAt) },
      recovered: recoveredAt === undefined ? null : { at: recoveredAt, backlog: record.recovered_backlog ?? null },
    };
  };
}
