/** Status events in words, on the page and at the command line. */
import type { ConditionKind } from "./app-condition.ts";
import { failureText } from "./app-state.ts";

export interface StatusText {
  readonly kind: ConditionKind;
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
  readonly until?: string;
  readonly throttled_at?: string;
  readonly last_success_at?: string | null;
  readonly by_code?: Readonly<Record<string, number>>;
  readonly count?: number;
  readonly response_code?: number;
}

export function topicOf(type: string): string {
  return type.split(".")[0] ?? "";
}

/** @param time shows a time of the event */
export function describeStatus(
  { type, data }: { readonly type: string; readonly data: object },
  time: (rfc3339: string) => string,
): StatusText {
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
      return { kind: "warn", title: "Circuit opened", detail: circuitDetail(facts, time) };
    case "circuit.closed":
      return { kind: "ok", title: "Circuit closed", detail: "" };
    case "app.throttled":
      return { kind: "warn", title: "App throttled", detail: throttledDetail(facts, time) };
    case "app.released":
      return {
        kind: "ok",
        title: "App released",
        detail: facts.throttled_at === undefined ? "" : `throttled since ${time(facts.throttled_at)}`,
      };
    case "delivery.exhausted":
      return { kind: "bad", title: "Delivery given up", detail: givenUpDetail(facts) };
    case "delivery.rejected":
      return {
        kind: facts.reason === "discarded" ? "plain" : "bad",
        title: `Delivery ${rejectionText(facts.reason)}`,
        detail: givenUpDetail(facts),
      };
    case "delivery.suppressed":
      return { kind: "bad", title: "Deliveries given up", detail: `${facts.count ?? 0} more within the same minute` };
    case "app.failing":
      return { kind: "bad", title: "App failing", detail: healthDetail(facts, time) };
    case "app.healthy":
      return { kind: "ok", title: "App healthy", detail: healthDetail(facts, time) };
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

function circuitDetail({ reason, open_until: until }: Facts, time: (rfc3339: string) => string): string {
  const { failures, attempts, window_s: seconds } = (reason ?? {}) as { failures?: number; attempts?: number; window_s?: number };
  const why = attempts === undefined ? "" : `${failures} of ${attempts} attempts failed within ${seconds} s`;
  return [why, until && `next attempt ${time(until)}`].filter(Boolean).join("; ");
}

function throttledDetail({ response_code: code = 429, until }: Facts, time: (rfc3339: string) => string): string {
  return `answered ${code}${until === undefined ? "" : `; nothing is attempted until ${time(until)}`}`;
}

function healthDetail({ attempts, by_code: byCode, last_success_at: last }: Facts, time: (rfc3339: string) => string): string {
  if (attempts === undefined) return "";
  return `${failureText(attempts, byCode ?? {})}${last ? `; last success ${time(last)}` : ""}`;
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
