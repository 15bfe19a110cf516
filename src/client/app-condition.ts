/** The condition of an app in a word, on the page and at the command line, and whether it needs attention. */
import type { AppAtAGlance, Overview } from "./api-types.generated.ts";

/** The first that is true of an app is its condition. */
export const APP_CONDITIONS = [
  "failing",
  "broken",
  "blocked",
  "sender failed",
  "circuit open",
  "circuit half-open",
  "stopped",
  "throttled",
  "waiting",
  "unknown",
  "disabled",
  "idle",
  "not installed",
  "healthy",
] as const;

export type ConditionName = (typeof APP_CONDITIONS)[number];

/** Bad means failed, warn means waiting. */
export type ConditionKind = "bad" | "warn" | "ok" | "plain";

export interface Condition {
  readonly name: ConditionName;
  readonly kind: ConditionKind;
  readonly text: string;
  /** Lower ranks need attention first. */
  readonly rank: number;
}

export function conditionOf(app: AppAtAGlance): Condition {
  const name = nameOf(app);
  const { broken } = app.installations;
  const installed = installedOf(app);
  const text = name === "broken" && broken < installed ? `${broken} of ${installed} broken` : name.charAt(0).toUpperCase() + name.slice(1);
  return { name, kind: kindOf(name), text, rank: APP_CONDITIONS.indexOf(name) };
}

function nameOf(app: AppAtAGlance): ConditionName {
  const { installations, health, circuit, stopped, throttled, waiting, unknown } = app;
  const { attempts } = dayOf(app);
  if (health.state === "failing") return "failing";
  if (installations.broken > 0) return "broken";
  if ((health.blocked ?? 0) > 0) return "blocked";
  if (failsToSend(app)) return "sender failed";
  if (circuit.state !== "closed") return circuit.state === "open" ? "circuit open" : "circuit half-open";
  if (stopped !== null) return "stopped";
  if (throttled !== null) return "throttled";
  if (waiting !== null) return "waiting";
  if (installedOf(app) === 0) return "not installed";
  if (installations.disabled === installedOf(app)) return "disabled";
  if (attempts === null || health.attempts === null || unknown.length > 0) return "unknown";
  return attempts === 0 ? "idle" : "healthy";
}

export function kindOf(name: ConditionName): ConditionKind {
  if (name === "failing" || name === "broken" || name === "blocked" || name === "sender failed") return "bad";
  if (name === "circuit open" || name === "circuit half-open") return "warn";
  if (name === "stopped" || name === "throttled" || name === "waiting") return "warn";
  return name === "healthy" ? "ok" : "plain";
}

/** Posthorn's own failures pass by themselves when they are few. */
export function failsToSend({ health: { attempts, blocked, sender_failed: failed } }: AppAtAGlance): boolean {
  return failed !== null && failed > 0 && failed * 2 >= (attempts ?? 0) + (blocked ?? 0) + failed;
}

export function wantsAttention({ kind }: Condition): boolean {
  return kind === "bad" || kind === "warn";
}

export function installedOf({ installations: { active, broken, disabled } }: AppAtAGlance): number {
  return active + broken + disabled;
}

/** Totals of the last 24 hours. `attempts` is null if unknown; `rate` also if there were none. */
export function dayOf({ attempts, delivered }: Pick<AppAtAGlance, "attempts" | "delivered">): {
  attempts: number | null;
  rate: number | null;
} {
  if (attempts === null || delivered === null) return { attempts: null, rate: null };
  const all = sum(attempts);
  return { attempts: all, rate: all === 0 ? null : sum(delivered) / all };
}

export function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

/** The sum over all apps; null if the value of one is unknown. */
export function total(apps: readonly AppAtAGlance[], of: (app: AppAtAGlance) => number | null): number | null {
  const values = apps.map(of);
  return values.includes(null) ? null : sum(values.map((value) => value ?? 0));
}

/** The dead letters of all apps, and those of events that could not be read, which belong to no app. Null if unknown. */
export function deadLettersOf({ items, unreadable }: Pick<Overview, "items" | "unreadable">): number | null {
  const ofApps = total(items, ({ dead_letters: count }) => count);
  return ofApps === null ? null : ofApps + (unreadable ?? 0);
}
