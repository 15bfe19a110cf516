/**
 * The status of an integration: active, broken, disabled. Each change is a transition (outbox.ts) of the record
 * `installation.<uuid>`, so that it happens once and is announced once.
 *
 * I1  The counters are cleared when it breaks and again before it becomes active: an old failure never breaks it anew, nor
 *     does one that is counted late. If Redis is away then, the record says so, and they are cleared before they are judged
 *     by again.
 * I2  A judgement counts only for the state it was made of: if the record went through another transition meanwhile, the
 *     counters are read again.
 */

import type { InstallationStatus } from "../model/app.ts";
import { AppError } from "../model/app-error.ts";
import { type Clock, toRfc3339 } from "../model/clock.ts";
import { withoutSecrets } from "../model/redaction/safe-url.ts";
import { epochMsOf } from "../model/rfc3339.ts";
import { integrationBroken, integrationChanged, type StatusEvent } from "../model/status-event.ts";
import type { InstallationRecord } from "../model/stored-records.ts";
import type { BrokenReason } from "./health-rule.ts";
import type { Outbox, Transition } from "./outbox.ts";
import type { HealthStore, StatusRecords } from "./ports.ts";

export interface LastFailure {
  readonly responseCode: number;
  readonly error: string | null;
  /** Milliseconds since the epoch. */
  readonly endedAt: number;
}

export interface IntegrationStatus {
  /**
   * How often the integration's status has changed; null when it is not active, not there, or became active after it failed
   * last. @param failedAt of the last failure, milliseconds since the epoch
   */
  generation(uuid: string, failedAt: number): Promise<number | null>;
  /** Clears counters of failures before it became active. Rejects when that can't be. */
  dropStaleCounters(uuid: string, failedAt: number): Promise<void>;
  /** @param generation what the counters belong to. @returns whether this call broke it. */
  break(uuid: string, generation: number, reason: BrokenReason, last: LastFailure | null): Promise<boolean>;
  /**
   * A broken one had a success. @param calmMs one that broke again so soon after it was recovered has to have been broken so long.
   * @returns whether this call made it active
   */
  recover(uuid: string, calmMs?: number): Promise<boolean>;
  /**
   * By a person: a broken one has recovered, a disabled one is enabled, an active one stays as it is.
   * @param check throws when the record is not the one that the person meant.
   * @throws AppError NOT_FOUND
   */
  enable(uuid: string, check?: (record: InstallationRecord) => void): Promise<InstallationStatus>;
  disable(uuid: string, check?: (record: InstallationRecord) => void): Promise<InstallationStatus>;
  /** Claims the next probe of a broken integration. @returns whether this replica has it. */
  claimProbe(uuid: string, intervalMs: number): Promise<boolean>;
}

export interface IntegrationStatusDependencies {
  readonly records: Pick<StatusRecords<InstallationRecord>, "read" | "reached">;
  readonly outbox: Outbox<InstallationRecord, StatusEvent>;
  readonly health: HealthStore;
  /** Deliveries that wait for the installation. */
  readonly parkedFor: (uuid: string) => Promise<number>;
  /** The URL that the installation's webhooks go to. */
  readonly webhookUrlOf: (uuid: string) => string;
  readonly clock: Clock;
}

export interface IntegrationStatusOptions {
  readonly prefix: string;
  readonly dashboardUrl: (path: string) => string | null;
}

export const INSTALLATION_PREFIX = "installation.";

export function createIntegrationStatus(dependencies: IntegrationStatusDependencies, options: IntegrationStatusOptions): IntegrationStatus {
  const { records, outbox, health, parkedFor, webhookUrlOf, clock } = dependencies;
  const keyOf = (uuid: string): string => INSTALLATION_PREFIX + uuid;
  const facts = (id: string) => ({ id, time: toRfc3339(clock.now()), prefix: options.prefix });

  const data = (uuid: string, record: InstallationRecord, status: InstallationStatus) => ({
    app: record.app,
    installation_uuid: uuid,
    organization_id: record.organization_id,
    webhook_url: withoutSecrets(webhookUrlOf(uuid)),
    previous_status: record.status,
    status,
    dashboard_url: options.dashboardUrl(`/installations/${uuid}`),
  });

  const read = async (uuid: string): Promise<InstallationRecord | null> => (await records.read(keyOf(uuid)))?.record ?? null;

  /** Without Redis there are no counters to judge by either. @returns whether they are cleared. */
  const clearCounters = (uuid: string): Promise<boolean> =>
    health.clear(uuid).then(
      () => true,
      () => false,
    );

  /** What becoming active writes: nothing is left of why it was not, and how much waits to be delivered now. */
  const recovered = async (uuid: string): Promise<Transition<InstallationRecord, StatusEvent>["members"]> => ({
    status: "active",
    broken_at: undefined,
    broken_reason: undefined,
    probed_at: undefined,
    counters_stale: (await clearCounters(uuid)) ? undefined : true,
    recovered_at: toRfc3339(clock.now()),
    recovered_backlog: await parkedFor(uuid).catch(() => null),
  });

  const byPerson = async (
    uuid: string,
    status: "active" | "disabled",
    check: (record: InstallationRecord) => void,
  ): Promise<InstallationStatus> => {
    const found = await read(uuid);
    if (found === null) throw new AppError("NOT_FOUND", `no installation ${uuid}`);
    check(found);
    if (found.status === status) return status;
    const members: Transition<InstallationRecord, StatusEvent>["members"] = status === "active" ? await recovered(uuid) : { status };
    const { record } = await outbox.change(keyOf(uuid), (current) => {
      if (current === null) throw new AppError("NOT_FOUND", `no installation ${uuid}`);
      check(current);
      const before = current.status;
      if (before === status) return null;
      const change = status === "disabled" ? "disabled" : before === "broken" ? "recovered" : "enabled";
      return {
        members: { ...members, updated_at: toRfc3339(clock.now()) },
        event: (id) => integrationChanged(facts(id), change, { ...data(uuid, current, status), reason: { by: "person" } }),
      };
    });
    // What the caller publishes next finds the new status here.
    const written = await records.read(keyOf(uuid));
    if (written !== null) await records.reached(written.revision);
    return record?.status ?? status;
  };

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
        const shown = {
          rule: reason.rule,
          window_days: reason.windowDays,
          days: reason.days,
          success: reason.success,
          error: reason.error,
          timeout: reason.timeout,
          fatal: reason.fatal,
          last_response_code: last?.responseCode ?? null,
          last_error: last?.error ?? null,
        };
        return {
          members: { status: "broken", broken_at: now, broken_reason: shown, probed_at: now, updated_at: now },
          event: (id) => integrationBroken(facts(id), { ...data(uuid, current, "broken"), reason: shown }),
        };
      });
      if (changed) await clearCounters(uuid);
      return changed;
    },

    async recover(uuid, calmMs = 0) {
      const isCalm = (record: InstallationRecord): boolean =>
        brokenAt(record) - recoveredAt(record) >= calmMs || clock.now() - brokenAt(record) >= calmMs;
      const mayRecover = (record: InstallationRecord | null): record is InstallationRecord =>
        record !== null && record.status === "broken" && isCalm(record);
      // The counters of one that is active already are not cleared.
      if (!mayRecover(await read(uuid))) return false;
      const members = await recovered(uuid);
      const { changed } = await outbox.change(keyOf(uuid), (current) => {
        if (!mayRecover(current)) return null;
        return {
          members: { ...members, updated_at: toRfc3339(clock.now()) },
          event: (id) => integrationChanged(facts(id), "recovered", { ...data(uuid, current, "active"), reason: { by: "probe" } }),
        };
      });
      return changed;
    },

    enable: (uuid, check = () => {}) => byPerson(uuid, "active", check),
    disable: (uuid, check = () => {}) => byPerson(uuid, "disabled", check),

    async claimProbe(uuid, intervalMs) {
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

/** When it was last probed, or broke; milliseconds since the epoch. */
export function probedAt({ probed_at, broken_at }: InstallationRecord): number {
  return timeOf(probed_at ?? broken_at);
}

/** When it became active again, milliseconds since the epoch; 0 when it always was. */
export function recoveredAt({ recovered_at }: InstallationRecord): number {
  return timeOf(recovered_at);
}

function brokenAt({ broken_at }: InstallationRecord): number {
  return timeOf(broken_at);
}

function timeOf(text: string | undefined): number {
  return text === undefined ? 0 : epochMsOf(text);
}

function generationOf({ n }: InstallationRecord): number {
  return n ?? 0;
}
