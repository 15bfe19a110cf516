/** The condition of an app in a word, and whether it needs attention. Red means failed, amber means waiting. */
import type { AppRow } from "./wire.ts";

export type ConditionKind = "bad" | "warn" | "ok" | "plain";

export interface Condition {
  readonly kind: ConditionKind;
  readonly text: string;
  /** Lower ranks need attention first. */
  readonly rank: number;
}

export function conditionOf(row: AppRow): Condition {
  const { active, broken, disabled } = row.installations;
  const installed = active + broken + disabled;
  const { attempts } = dayOf(row);
  if (row.health.state === "failing") return { kind: "bad", text: "Failing", rank: 0 };
  if (broken > 0) return { kind: "bad", text: broken === installed ? "Broken" : `${broken} of ${installed} broken`, rank: 1 };
  if (row.circuit.state === "open") return { kind: "warn", text: "Circuit open", rank: 2 };
  if (row.circuit.state === "half_open") return { kind: "warn", text: "Circuit half-open", rank: 3 };
  if (row.throttled !== null) return { kind: "warn", text: "Throttled", rank: 4 };
  if (installed === 0) return { kind: "plain", text: "Not installed", rank: 8 };
  if (disabled === installed) return { kind: "plain", text: "Disabled", rank: 6 };
  if (attempts === null || row.health.attempts === null) return { kind: "plain", text: "Unknown", rank: 5 };
  return attempts === 0 ? { kind: "plain", text: "Idle", rank: 7 } : { kind: "ok", text: "Healthy", rank: 9 };
}

export function wantsAttention({ kind }: Condition): boolean {
  return kind === "bad" || kind === "warn";
}

/** Totals of the last 24 hours. `attempts` is null if unknown; `rate` also if there were none. */
export function dayOf({ attempts, delivered }: Pick<AppRow, "attempts" | "delivered">): { attempts: number | null; rate: number | null } {
  if (attempts === null || delivered === null) return { attempts: null, rate: null };
  const all = sum(attempts);
  return { attempts: all, rate: all === 0 ? null : sum(delivered) / all };
}

export function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

/** The sum over all rows; null if the value of one is unknown. */
export function total(rows: readonly AppRow[], of: (row: AppRow) => number | null): number | null {
  let all = 0;
  for (const row of rows) {
    const value = of(row);
    if (value === null) return null;
    all += value;
  }
  return all;
}
