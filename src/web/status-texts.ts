/** Status events in words. Red means failed, amber means waiting. */
import { failureText } from "../client/app-state.ts";
import { counted } from "./format.ts";
import type { StatusEventItem } from "./wire.ts";

export interface StatusText {
  readonly kind: "bad" | "warn" | "ok" | "plain";
  readonly title: string;
  /** The reason; empty if unknown. */
  readonly detail: string;
}

interface Facts {
  readonly reason?: unknown;
  readonly event_type?: string;
  readonly attempts?: number;
  readonly last_error?: string | null;
  readonly open_until?: string | null;
  readonly by_code?: Readonly<Record<string, number>>;
  readonly count?: number;
  readonly response_code?: number;
}

export function topicOf(type: string): string {
  return type.split(".")[0] ?? "";
}

export function describe({ type, data }: Pick<StatusEventItem, "type" | "data">): StatusText {
  const facts = data as Facts;
  switch (type) {
    case "integration.broken":
      return { kind: "bad", title: "Integration broken", detail: brokenDetail(facts.reason) };
    case "integration.recovered":
      return { kind: "ok", title: "Integration recovered", detail: cause(facts.reason) };
    case "integration.disabled":
      return { kind: "plain", title: "Integration disabled", detail: cause(facts.reason) };
    case "integration.enabled":
      return { kind: "ok", title: "Integration enabled", detail: cause(facts.reason) };
    case "circuit.opened":
      return { kind: "warn", title: "Circuit opened", detail: circuitDetail(facts.reason) };
    case "circuit.closed":
      return { kind: "ok", title: "Circuit closed", detail: "" };
    case "app.throttled":
      return { kind: "warn", title: "App throttled", detail: `answered ${facts.response_code ?? 429} with Retry-After` };
    case "app.released":
      return { kind: "ok", title: "App released", detail: "" };
    case "delivery.exhausted":
      return { kind: "bad", title: "Delivery given up", detail: givenUpDetail(facts) };
    case "delivery.rejected":
      return {
        kind: facts.reason === "discarded" ? "plain" : "bad",
        title: `Delivery ${rejectionText(facts.reason)}`,
        detail: givenUpDetail(facts),
      };
    case "delivery.suppressed":
      return {
        kind: "bad",
        title: `${counted(facts.count ?? 0, "more delivery", "more deliveries")} given up`,
        detail: "within the same minute",
      };
    case "app.failing":
      return { kind: "bad", title: "App failing", detail: healthDetail(facts) };
    case "app.healthy":
      return { kind: "ok", title: "App healthy", detail: healthDetail(facts) };
    default:
      return { kind: "plain", title: type, detail: "" };
  }
}

function brokenDetail(reason: unknown): string {
  const { rule, last_error: last } = (reason ?? {}) as { rule?: string; last_error?: string | null };
  const why = {
    fatal: "answered 410 Gone",
    failing_days: "failures on every day of the window, and no success",
    timeouts: "too many timeouts in a day",
  }[rule ?? ""];
  return [why ?? (rule && `rule ${rule}`), last && `last error: ${last}`].filter(Boolean).join("; ");
}

function cause(reason: unknown): string {
  const { by } = (reason ?? {}) as { by?: string };
  return by === "probe" ? "an attempt succeeded" : by === "person" ? "by a person" : "";
}

function circuitDetail(reason: unknown): string {
  const { failures, attempts, window_s: seconds } = (reason ?? {}) as { failures?: number; attempts?: number; window_s?: number };
  return attempts === undefined ? "" : `${failures} of ${attempts} attempts failed within ${seconds} s`;
}

function healthDetail({ attempts, by_code }: Facts): string {
  return attempts === undefined ? "" : failureText(attempts, by_code ?? {});
}

/** A delivery can go to dead letters without having been rejected. */
function rejectionText(reason: unknown): string {
  return reason === "discarded" || reason === "expired" || reason === "uninstalled" || reason === "redelivered" || reason === "overflow"
    ? (reason as string)
    : "rejected";
}

function givenUpDetail({ event_type, attempts, last_error: last }: Facts): string {
  const tries = attempts === undefined ? null : attempts === 1 ? "after 1 attempt" : `after ${attempts} attempts`;
  return [[event_type, tries].filter(Boolean).join(" "), last].filter(Boolean).join("; ");
}
