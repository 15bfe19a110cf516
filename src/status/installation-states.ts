/** The state of all installations, from their records, in memory. */
import type { InstallationStatus } from "../model/app.ts";
import type { BrokenReasonData } from "../model/status-event.ts";
import type { InstallationRecord } from "../model/stored-records.ts";
import { probedAt, recoveredAt } from "./installation-record.ts";

export interface InstallationState {
  readonly status: InstallationStatus;
  /** When it became active again, milliseconds since the epoch; 0: it always was active. */
  readonly recoveredAt: number;
  /** Null: it is not broken. */
  readonly broken: BrokenState | null;
}

export interface BrokenState {
  /** RFC 3339. */
  readonly at: string;
  readonly reason: BrokenReasonData | null;
  /** When it was last probed, or broke; milliseconds since the epoch. */
  readonly probedAt: number;
}

export interface InstallationStates {
  of(uuid: string): InstallationState | null;
  /** When and why it broke; null: it is not broken. */
  brokenOf(uuid: string): Pick<BrokenState, "at" | "reason"> | null;
  all(): Iterable<InstallationState>;
  /** The record has changed; null: it was deleted. */
  update(uuid: string, record: InstallationRecord | null): void;
}

/** @param before null: it is new. @param after null: it was deleted */
export type OnInstallationChanged = (uuid: string, before: InstallationState | null, after: InstallationState | null) => void;

/** Shared by nearly all installations. */
const ACTIVE: InstallationState = { status: "active", recoveredAt: 0, broken: null };

export function createInstallationStates(onChanged: OnInstallationChanged): InstallationStates {
  const states = new Map<string, InstallationState>();
  return {
    of: (uuid) => states.get(uuid) ?? null,
    brokenOf(uuid) {
      const broken = states.get(uuid)?.broken ?? null;
      return broken && { at: broken.at, reason: broken.reason };
    },
    all: () => states.values(),
    update(uuid, record) {
      const before = states.get(uuid) ?? null;
      const after = record && stateOf(record);
      if (after === null) states.delete(uuid);
      else states.set(uuid, after);
      onChanged(uuid, before, after);
    },
  };
}

function stateOf(record: InstallationRecord): InstallationState {
  const { status, broken_at: at = "", broken_reason: reason = null } = record;
  const state = {
    status,
    recoveredAt: recoveredAt(record),
    broken: status === "broken" ? { at, reason, probedAt: probedAt(record) } : null,
  };
  return state.status === "active" && state.recoveredAt === 0 ? ACTIVE : state;
}
