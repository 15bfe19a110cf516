/**
 * The status of an integration: active, broken, disabled. Each change is a transition of the record `installation.<uuid>` through
 * the outbox, so that it happens once and is announced once.
 *
 * STATUS-1  The counters are cleared when the integration breaks, and again before it becomes active: old failures, including
 *           those that are counted late, never break it again. If Redis is down then, the record says so and the counters are
 *           cleared before the rule next runs.
 * STATUS-2  A judgement holds only for the generation that it was made for: after any other transition the counters are read again.
 */
import type { InstallationStatus } from "../model/app.ts";
import { AppError } from "../model/app-error.ts";
import { type Clock, toRfc3339 } from "../model/clock.ts";
import type { BrokenReasonData, StatusEvent } from "../model/status-event.ts";
import type { InstallationRecord } from "../model/stored-records.ts";
import type { BrokenReason } from "./health-rule.ts";
import { brokenAt, generationOf, INSTALLATION_PREFIX, probedAt, recoveredAt } from "./installation-record.ts";
import { createIntegrationEvents, type IntegrationEvents } from "./integration-events.ts";
import type { Outbox, Transition } from "./outbox.ts";
import type { HealthStore, StatusEventOptions, StatusRecords } from "./ports.ts";

export interface LastFailure {
  readonly responseCode: number;
  readonly error: string | null;
  /** Milliseconds since the epoch. */
  readonly endedAt: number;
}

export interface IntegrationStatus {
  /**
   * The integration's generation: the number of its status changes. Null when it is not active, does not exist, or became active
   * after its last failure. @param failedAt time of the last failure, milliseconds since the epoch
   */
  generation(uuid: string, failedAt: number): Promise<number | null>;
  /** Clears counters from before the integration became active. Rejects when Redis is down. */
  dropStaleCounters(uuid: string, failedAt: number): Promise<void>;
  /** @param generation the generation of the counters. @returns whether this call broke the integration */
  break(uuid: string, generation: number, reason: BrokenReason, last: LastFailure | null): Promise<boolean>;
  /**
   * A broken integration had a success. @param calmMs if it broke within this time after its last recovery, it must have been broken
   * for this time. @returns whether this call made it active
   */
  recover(uuid: string, calmMs?: number): Promise<boolean>;
  /**
   * A person sets the status: a broken integration has recovered, a disabled one is enabled, an active one stays active.
   * @param check throws when the record is not the one that the person meant
   * @throws AppError NOT_FOUND
   */
  enable(uuid: string, check?: (record: InstallationRecord) => void): Promise<InstallationStatus>;
  disable(uuid: string, check?: (record: InstallationRecord) => void): Promise<InstallationStatus>;
  /** Claims the next probe of a broken integration. @returns whether this replica got it */
  claimRecoveryProbe(uuid: string, intervalMs: number): Promise<boolean>;
}

export interface IntegrationStatusDependencies {
  readonly records: Pick<StatusRecords<InstallationRecord>, "read" | "reached">;
  readonly outbox: Outbox<InstallationRecord, StatusEvent>;
  readonly health: HealthStore;
  /** Number of parked deliveries of the installation. */
  readonly parkedFor: (uuid: string) => Promise<number>;
  /** The URL that the installation's webhooks go to. */
  readonly webhookUrlOf: (uuid: string) => string;
  readonly clock: Clock;
}

export function createIntegrationStatus(dependencies: IntegrationStatusDependencies, options: StatusEventOptions): IntegrationStatus {
  const { records, outbox, health, parkedFor, webhookUrlOf, clock } = dependencies;
  const events = createIntegrationEvents(webhookUrlOf, clock, options);

  const read = async (uuid: string): Promise<InstallationRecord | null> => (await records.read(keyOf(uuid)))?.record ?? null;

  /** Without Redis the rule has no counters either. @returns whether they are cleared */
  const clearCounters = (uuid: string): Promise<boolean> =>
    health.clear(uuid).then(
      () => true,
      () => false,
    );

  /** The members of a record that becomes active: no reason, and the size of the backlog. */
  const recovered = async (uuid: string): Promise<Members> => ({
    status: "active",
    broken_at: undefined,
    broken_reason: undefined,
    probed_at: undefined,
    counters_stale: (await clearCounters(uuid)) ? undefined : true,
    recovered_at: toRfc3339(clock.now()),
    recovered_backlog: await parkedFor(uuid).catch(() => null),
  });

  const setByPerson = createSetByPerson({ records, outbox, events, recovered, clock });

  return {
    async generation(uuid, failedAt) {
      const record = await read(uuid);
      return record !== null && record.status === "active" && recoveredAt(record) <= failedAt ? generationOf(record) : null;
    },

    async dropStaleCounters(uuid, failedAt) {
      const record = await read(uuid);
      const isStale = record?.counters_stale === true;
      if (record === null || !(isStale || recoveredAt(record) > failedAt)) return;
      await health.clear(uuid);
      if (!isStale) return;
      await outbox.change(keyOf(uuid), (current) =>
        current?.counters_stale === true ? { members: { counters_stale: undefined }, event: null } : null,
      );
    },

    async break(uuid, generation, reason, last) {
      const { changed } = await outbox.change(keyOf(uuid), (current) => {
        if (current === null || current.status !== "active" || generationOf(current) !== generation) return null;
        const now = toRfc3339(clock.now());
        const shown = shownReason(reason, last);
        return {
          members: { status: "broken", broken_at: now, broken_reason: shown, probed_at: now, updated_at: now },
          event: events.broken(current, shown),
        };
      });
      if (changed) await clearCounters(uuid);
      return changed;
    },

    async recover(uuid, calmMs = 0) {
      const mayRecover = (record: InstallationRecord | null): record is InstallationRecord =>
        record !== null && record.status === "broken" && isCalm(record, clock.now(), calmMs);
      // An active integration keeps its counters.
      if (!mayRecover(await read(uuid))) return false;
      const members = await recovered(uuid);
      const { changed } = await outbox.change(keyOf(uuid), (current) => {
        if (!mayRecover(current)) return null;
        return {
          members: { ...members, updated_at: toRfc3339(clock.now()) },
          event: events.changed(current, "recovered", "probe"),
        };
      });
      return changed;
    },

    enable: (uuid, check = () => {}) => setByPerson(uuid, "active", check),
    disable: (uuid, check = () => {}) => setByPerson(uuid, "disabled", check),

    async claimRecoveryProbe(uuid, intervalMs) {
      const { changed } = await outbox.change(keyOf(uuid), (current) => {
        if (current === null || current.status !== "broken") return null;
        const now = clock.now();
        if (now - probedAt(current) < intervalMs) return null;
        return { members: { probed_at: toRfc3339(now) }, event: null };
      });
      return changed;
    },
  };
}

interface SetByPersonDependencies extends Pick<IntegrationStatusDependencies, "records" | "outbox" | "clock"> {
  readonly events: IntegrationEvents;
  readonly recovered: (uuid: string) => Promise<Members>;
}

type Members = Transition<InstallationRecord, StatusEvent>["members"];

function createSetByPerson({ records, outbox, events, recovered, clock }: SetByPersonDependencies) {
  return async (uuid: string, status: "active" | "disabled", check: (record: InstallationRecord) => void): Promise<InstallationStatus> => {
    const found = (await records.read(keyOf(uuid)))?.record ?? null;
    if (found === null) throw new AppError("NOT_FOUND", `no installation ${uuid}`);
    check(found);
    if (found.status === status) return status;
    const members: Members = status === "active" ? await recovered(uuid) : { status };
    const { record } = await outbox.change(keyOf(uuid), (current) => {
      if (current === null) throw new AppError("NOT_FOUND", `no installation ${uuid}`);
      check(current);
      const before = current.status;
      if (before === status) return null;
      const change = status === "disabled" ? "disabled" : before === "broken" ? "recovered" : "enabled";
      return {
        members: { ...members, updated_at: toRfc3339(clock.now()) },
        event: events.changed(current, change, "person"),
      };
    });
    // An event that the caller publishes next is handled with the new status.
    const written = await records.read(keyOf(uuid));
    if (written !== null) await records.reached(written.revision);
    return record?.status ?? status;
  };
}

function keyOf(uuid: string): string {
  return INSTALLATION_PREFIX + uuid;
}

function isCalm(record: InstallationRecord, nowMs: number, calmMs: number): boolean {
  return brokenAt(record) - recoveredAt(record) >= calmMs || nowMs - brokenAt(record) >= calmMs;
}

function shownReason({ rule, windowDays, days, success, error, timeout, fatal }: BrokenReason, last: LastFailure | null): BrokenReasonData {
  return {
    ...{ rule, window_days: windowDays, days, success, error, timeout, fatal },
    last_response_code: last?.responseCode ?? null,
    last_error: last?.error ?? null,
  };
}
