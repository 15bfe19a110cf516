/** Decides whether an integration is broken (docs/design.md 3.7). Pure: counters of the last days in, a reason or null out. */
import type { BrokenRule } from "../model/status-event.ts";
import type { HealthDay } from "./ports.ts";

export interface HealthRuleOptions {
  /** The parts of the rule that are on. */
  readonly rules: ReadonlySet<string>;
  /** Timeouts of one day that break the integration, unless it has more successes. */
  readonly timeouts: number;
}

export interface BrokenReason {
  readonly rule: BrokenRule;
  readonly windowDays: number;
  /** The days of the counters, oldest first. */
  readonly days: readonly string[];
  readonly success: number;
  readonly error: number;
  readonly timeout: number;
  readonly fatal: number;
}

/** @param days the last UTC days, oldest first, today included; a day without attempts is all zero. */
export function judgeHealth(days: readonly HealthDay[], { rules, timeouts }: HealthRuleOptions): BrokenReason | null {
  const rule = brokenRule(days, rules, timeouts);
  if (rule === null) return null;
  const sum = (count: (day: HealthDay) => number): number => days.reduce((total, day) => total + count(day), 0);
  return {
    rule,
    windowDays: days.length,
    days: days.map(({ day }) => day),
    success: sum((day) => day.success),
    error: sum((day) => day.error),
    timeout: sum((day) => day.timeout),
    fatal: sum((day) => day.fatal),
  };
}

function brokenRule(days: readonly HealthDay[], rules: ReadonlySet<string>, timeouts: number): BrokenRule | null {
  if (rules.has("fatal") && days.some(({ fatal }) => fatal > 0)) return "fatal";
  // A day without attempts is no evidence about the receiver and ends a series of failing days.
  const isFailing = ({ success, error, timeout }: HealthDay): boolean => success === 0 && error + timeout > 0;
  if (rules.has("failing_days") && days.length > 0 && days.every(isFailing)) return "failing_days";
  const isSlow = ({ success, timeout }: HealthDay): boolean => timeout >= timeouts && success <= timeout;
  if (rules.has("timeouts") && days.some(isSlow)) return "timeouts";
  return null;
}

/** The last `count` UTC days up to the one that `nowMs` is in, oldest first, as YYYY-MM-DD. */
export function lastDays(nowMs: number, count: number): string[] {
  const today = Math.floor(nowMs / DAY_MS);
  return Array.from({ length: count }, (_, index) => utcDay((today - count + 1 + index) * DAY_MS));
}

export function utcDay(epochMs: number): string {
  return new Date(epochMs).toISOString().slice(0, 10);
}

const DAY_MS = 86_400_000;
