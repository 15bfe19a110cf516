/** An app's state in one word, and why, as the overview knows it. */
import type { AppAtAGlance } from "../client/api-types.generated.ts";
import type { Output } from "./output.ts";
import type { Style } from "./table.ts";

export const APP_STATES = ["failing", "throttled", "circuit open", "broken", "healthy"] as const;

export type AppState = (typeof APP_STATES)[number];

export const STATE_STYLES: Readonly<Record<AppState, Style>> = {
  failing: "red",
  throttled: "yellow",
  "circuit open": "yellow",
  broken: "yellow",
  healthy: "green",
};

/** The worst that is true of the app; `broken`: some of its installations are. */
export function stateOf({ health, throttled, circuit, installations }: AppAtAGlance): AppState {
  if (health.state === "failing") return "failing";
  if (throttled !== null) return "throttled";
  if (circuit.state !== "closed") return "circuit open";
  return installations.broken > 0 ? "broken" : "healthy";
}

export function reasonsOf({ health, throttled, circuit, installations, parked }: AppAtAGlance, time: Output["time"]): string {
  const { since, attempts, failures, by_code: codes, last_success_at: lastSuccess } = health;
  const reasons: Array<string | null> = [
    health.state === "failing"
      ? `since ${time(since) ?? "?"}: ${byCode(codes ?? {})} from ${failures ?? "?"} of ${attempts ?? "?"}; last success ${time(lastSuccess) ?? "unknown"}`
      : null,
    throttled && `throttled until ${time(throttled.until)}: it answered ${throttled.response_code}`,
    circuit.state === "closed"
      ? null
      : `circuit ${circuit.state}${circuit.open_until === null ? "" : ` until ${time(circuit.open_until)}`}`,
    installations.broken > 0 ? `${installations.broken} of its installations broken` : null,
    parked ? `${parked} parked` : null,
  ];
  return reasons.filter((reason) => reason !== null).join("; ");
}

/** `404 ×212, no response ×3` */
export function byCode(codes: Readonly<Record<string, number>>): string {
  return Object.entries(codes)
    .map(([code, count]) => `${code === "0" ? "no response" : code} ×${count}`)
    .join(", ");
}
