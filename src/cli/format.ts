/** Values formatted for people. */
import type { Style } from "./table.ts";

export function outcomeStyle(outcome: string): Style {
  return outcome === "delivered"
    ? "green"
    : outcome === "failed" || outcome === "timed_out" || outcome === "unreachable"
      ? "yellow"
      : "red";
}

/** The style of a delivery's state. */
export function stateStyle(state: string): Style {
  if (state === "delivered") return "green";
  return state === "dead_letter" || state === "test_failed" || state === "unknown" ? "red" : "yellow";
}

export function statusStyle(status: string): Style | undefined {
  return status === "broken" ? "red" : status === "disabled" ? "yellow" : status === "active" ? "green" : undefined;
}

/** 0: no response. */
export function responseCode(code: number): string {
  return code === 0 ? "–" : String(code);
}

export function milliseconds(ms: number): string {
  return ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`;
}

/** `1 app`, `2 apps`. */
export function counted(count: number, what: string, plural = `${what}s`): string {
  return `${count} ${count === 1 ? what : plural}`;
}
