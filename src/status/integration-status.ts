/**
 * The status of an integration: active, broken, disabled. Each change is a transition (transitions.ts) of the record
 * `installation.<uuid>`, so that it happens once and is announced once.
 *
 * I1  The counters are cleared when it breaks and again before it becomes active: an old failure never breaks it anew.
 * I2  A judgement counts only for the state it was made of: if the record went through another transition meanwhile, the
 *     counters are read again.
 */

import type { InstallationStatus } from "../model/app.ts";
import { AppError } from "../model/app-error.ts";
import { type Clock, toRfc3339 } from "../model/clock.ts";
import { integrationBroken, integrationChanged, type StatusEvent } from "../model/status-event.ts";
import type { BrokenReason } from "./health-rule.ts";
import type { HealthStore, StatusRecords } from "./ports.ts";
import type { RecordJson, Transitions } from "./transitions.ts";

export interface LastFailure {
  readonly responseCode: number;
  readonly error: string | null;
}

export interface IntegrationStatus {
  /** How often the integration's status has changed; null when it is not active or not there. */
  generation(uuid: string): Promise<number | null>;
  /** @param generation what the counters belong to. @returns whether this call broke it. */
  break(uuid: string, generation: number, reason: BrokenReason, last: LastFailure | null): Promise<boolean>;
  /** A broken one had a success. */
  recover(uuid: string): Promise<boolean>;
  /** By a person: active, whatever it was. @throws AppError NOT_FOUND */
  enable(uuid: string): Promise<InstallationStatus>;
  disable(uuid: string): Promise<InstallationStatus>;
  /** Claims the next probe of a broken integration. @returns whether this replica has it. */
  claimProbe(uuid: string, intervalMs: number): Promise<boolean>;
}

export interface IntegrationStatusDependencies {
  readonly records: StatusRecords;
  readonly transitions: Transitions<StatusEvent>;
  readonly health: HealthStore;
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
  const { records, transitions, health, webhookUrlOf, clock } = dependencies;
  const keyOf = (uuid: string): string => INSTALLATION_PREFIX + uuid;
  const facts = (id: string) => ({ id, time: toRfc3339(clock.now()), prefix: options.prefix });

  const data = (uuid: string, record: RecordJson, status: InstallationStatus) => ({
    app: String(record["app"]),
    installation_uuid: uuid,
    organization_id: String(record["organization_id"]),
    webhook_url: webhookUrlOf(uuid),
    previous_status: statusOf(record),
    status,
    dashboard_url: options.dashboardUrl(`/installations/${uuid}`),
  });

  const byPerson = async (uuid: string, status: "active" | "disabled"): Promise<InstallationStatus> => {
    const { record } = await transitions.change(keyOf(uuid), (current) => {
      if (current === null) throw new AppError("NOT_FOUND", `no installation ${uuid}`);
      const before = statusOf(current);
      if (before === status) return null;
      const change = status === "disabled" ? "disabled" : before === "broken" ? "recovered" : "enabled";
      return {
        members: { status, ...(status === "active" ? MENDED : {}), updated_at: toRfc3339(clock.now()) },
        event: (id) => integrationChanged(facts(id), change, { ...data(uuid, current, status), reason: { by: "person" } }),
      };
    });
    return record === null ? status : statusOf(record);
  };

  /** Without Redis there are no counters to judge by either. */
  const clearCounters = (uuid: string): Promise<void> => health.clear(uuid).catch(() => {});

  return {
    async generation(uuid) {
      const found = await records.readRecord(keyOf(uuid));
      if (found === null) return null;
      const record = JSON.parse(found.value) as RecordJson;
      return statusOf(record) === "active" ? generationOf(record) : null;
    },

    async break(uuid, generation, reason, last) {
      const { changed } = await transitions.change(keyOf(uuid), (current) => {
        if (current === null || statusOf(current) !== "active" || generationOf(current) !== generation) return null;
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

    async recover(uuid) {
      await clearCounters(uuid);
      const { changed } = await transitions.change(keyOf(uuid), (current) => {
        if (current === null || statusOf(current) !== "broken") return null;
        return {
          members: { status: "active", ...MENDED, updated_at: toRfc3339(clock.now()) },
          event: (id) => integrationChanged(facts(id), "recovered", { ...data(uuid, current, "active"), reason: { by: "probe" } }),
        };
      });
      return changed;
    },

    async enable(uuid) {
      await clearCounters(uuid);
      return byPerson(uuid, "active");
    },

    disable: (uuid) => byPerson(uuid, "disabled"),

    async claimProbe(uuid, intervalMs) {
      const { changed } = await transitions.change(keyOf(uuid), (current) => {
        if (current === null || statusOf(current) !== "broken") return null;
        const now = clock.now();
        if (now - probedAt(current) < intervalMs) return null;
        return { members: { probed_at: toRfc3339(now) }, event: null };
      });
      return changed;
    },
  };
}

/** Members of a broken record that mean nothing once it is mended. */
const MENDED = { broken_at: undefined, broken_reason: undefined, probed_at: undefined } as const;

export function statusOf(record: RecordJson): InstallationStatus {
  const status = record["status"];
  return status === "broken" || status === "disabled" ? status : "active";
}

/** When it was last probed, or broke; milliseconds since the epoch. */
export function probedAt(record: RecordJson): number {
  return Date.parse(String(record["probed_at"] ?? record["broken_at"] ?? 0)) || 0;
}

function generationOf(record: RecordJson): number {
  return Number(record["n"] ?? 0);
}
