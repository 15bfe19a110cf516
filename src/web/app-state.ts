/** The state of an app in one or two sentences: since when, by which codes, and what becomes of its deliveries. */
import { type Condition, conditionOf } from "./condition.ts";
import { failureText } from "./failure-text.ts";
import { count, minute, shortCount, timeWithZone } from "./format.ts";
import type { AppRow } from "./wire.ts";

export interface AppState {
  readonly kind: Condition["kind"];
  readonly text: string;
}

/** @param now milliseconds since the epoch */
export function appStateOf(row: AppRow, now: number): AppState {
  const { kind } = conditionOf(row);
  const { active, broken, disabled } = row.installations;
  const { state, since, attempts, failures, by_code: byCode } = row.health;
  if (state === "failing" && since !== null) {
    const what = attempts === 0 ? "no attempts in the last 15 minutes" : attempts !== null && failureText(attempts, byCode ?? {});
    return {
      kind,
      text: `Failing since ${minute(Date.parse(since), now)}${what === false ? "" : `: ${what}`}${lastSuccess(row, now)}. ${waiting(row, now)}`,
    };
  }
  if (row.circuit.state !== "closed") {
    const why = attempts === null || failures === null || failures === 0 ? "too many attempts failed" : failureText(attempts, byCode ?? {});
    return {
      kind,
      text: `Circuit ${row.circuit.state === "open" ? "open" : "half-open"}: ${why}${lastSuccess(row, now)}. ${waiting(row, now)}`,
    };
  }
  if (row.throttled !== null) return { kind, text: `${throttledText(row.throttled, now)}. Deliveries wait.` };
  if (broken > 0)
    return { kind, text: `${count(broken)} of ${count(active + broken + disabled)} installations broken. Their deliveries wait.` };
  if (attempts === null) return { kind, text: "How it works now is unknown, because Redis does not answer." };
  if (attempts === 0) return { kind, text: `No attempts in the last 15 minutes${lastSuccess(row, now)}.` };
  return {
    kind,
    text: `${count(attempts - (failures ?? 0))} of ${count(attempts)} attempts delivered in the last 15 minutes${lastSuccess(row, now)}.`,
  };
}

function throttledText({ until, response_code: code }: NonNullable<AppRow["throttled"]>, now: number): string {
  return `Throttled until ${timeWithZone(Date.parse(until), now)}: the receiver answered ${code}`;
}

function lastSuccess({ health }: AppRow, now: number): string {
  return health.last_success_at === null ? "" : `; last success ${minute(Date.parse(health.last_success_at), now)}`;
}

/** The fate of deliveries while the app fails. */
function waiting({ circuit, throttled, parked_in_app_queue: parked }: AppRow, now: number): string {
  if (throttled !== null) return `${throttledText(throttled, now)}. Deliveries wait.`;
  if (circuit.state === "closed") return "Failed deliveries are retried.";
  const which = parked
    ? `${shortCount(parked)} ${parked === 1 ? "delivery waits and is" : "deliveries wait and are"} retried`
    : "Deliveries wait and are retried";
  if (circuit.state === "half_open") return `${which}; one is being attempted now.`;
  const next = circuit.open_until === null ? Number.NaN : Date.parse(circuit.open_until);
  return next > now ? `${which}; next attempt ${timeWithZone(next, now)}.` : `${which}.`;
}
