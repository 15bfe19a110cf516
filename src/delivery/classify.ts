/**
 * The meaning of a receiver's answer, or of its absence: outcome, next step, and state of the receiver (docs/design.md 3.5).
 * Nothing else turns an answer into an outcome or a next step.
 */
import type { App } from "../model/app.ts";
import type { NextStep, Outcome, ReceiverState } from "../model/outcome.ts";
import { isRetriedOn } from "../model/retry-on.ts";
import type { SendResult } from "./http/exchange.ts";
import { parseRetryAfter } from "./retry-after.ts";

export interface Meaning {
  readonly outcome: Outcome;
  readonly next: NextStep;
  readonly receiver: ReceiverState;
}

export interface Classified extends Meaning {
  /** 0: no complete response. */
  readonly responseCode: number;
  readonly error: string | null;
  readonly retryAfterMs: number | null;
  /** Pause that the receiver asks for, for the whole app (docs/design.md 6.4); null: none. */
  readonly pauseMs: number | null;
}

type Answered = Extract<SendResult, { readonly kind: "answered" }>;

const RETRY_FAILURE: NextStep = { kind: "retry", because: "failure" };
const REFUSED: NextStep = { kind: "dead-letter", reason: "rejected" };

const DELIVERED: Meaning = { outcome: "delivered", next: { kind: "done" }, receiver: "up" };
const GONE: Meaning = { outcome: "gone", next: { kind: "dead-letter", reason: "gone" }, receiver: "busy" };
const FAILED: Meaning = { outcome: "failed", next: RETRY_FAILURE, receiver: "down" };
const BUSY: Meaning = { outcome: "failed", next: RETRY_FAILURE, receiver: "busy" };
const PAYLOAD_REFUSED: Meaning = { outcome: "rejected", next: REFUSED, receiver: "up" };
const ENDPOINT_REFUSED: Meaning = { outcome: "rejected", next: { kind: "retry", because: "refusal" }, receiver: "refusing" };

const UNANSWERED: Readonly<Record<Exclude<SendResult["kind"], "answered">, Meaning>> = {
  timed_out: { outcome: "timed_out", next: RETRY_FAILURE, receiver: "down" },
  unreachable: { outcome: "unreachable", next: RETRY_FAILURE, receiver: "down" },
  sender_failed: { outcome: "sender_failed", next: { kind: "retry", because: "own_fault" }, receiver: "unknown" },
  blocked: { outcome: "blocked", next: { kind: "dead-letter", reason: "blocked" }, receiver: "unknown" },
};

/** Another attempt would send the same payload to the same end. */
const PAYLOAD_REFUSALS: ReadonlySet<number> = new Set([400, 406, 411, 413, 414, 415, 422, 431]);
/** The receiver can't handle the delivery now, but is not down. */
const BUSY_CODES: ReadonlySet<number> = new Set([408, 425, 429]);
/** With a usable Retry-After they ask for a pause, whatever an app is retried on. */
const PAUSE_CODES: ReadonlySet<number> = new Set([429, 503]);

export function classify(result: SendResult, { retryOn }: Pick<App, "retryOn">, nowMs: number): Classified {
  if (result.kind !== "answered")
    return { ...UNANSWERED[result.kind], responseCode: 0, error: result.error, retryAfterMs: null, pauseMs: null };
  const { status, headers } = result;
  const stop = stopAskedBy(result);
  const retryAfterMs = parseRetryAfter(headers["retry-after"], nowMs);
  const pauseMs = PAUSE_CODES.has(status) ? retryAfterMs : null;
  const meaning = stop?.meaning ?? (pauseMs === null ? meaningOf(status, retryOn) : { ...BUSY, next: { kind: "pause", pauseMs } });
  return {
    ...meaning,
    responseCode: status,
    error: meaning.outcome === "delivered" ? null : `answered with status ${status}${stop?.header ?? redirectOf(result)}`,
    retryAfterMs: meaning.next.kind === "retry" ? retryAfterMs : null,
    pauseMs,
  };
}

/** Posthorn's own response headers: `webhook-delivery: disable` means as much as 410, `retry: never` as much as 400. */
function stopAskedBy({ status, headers }: Answered): { readonly meaning: Meaning; readonly header: string } | null {
  if (isSaid(headers, "webhook-delivery", "disable")) return { meaning: GONE, header: " and webhook-delivery: disable" };
  if (isSuccess(status) || status === 410 || !isSaid(headers, "retry", "never")) return null;
  return { meaning: PAYLOAD_REFUSED, header: " and retry: never" };
}

function meaningOf(status: number, retryOn: App["retryOn"]): Meaning {
  if (isSuccess(status)) return DELIVERED;
  if (status === 410) return GONE;
  const usual = usualMeaningOf(status);
  if (retryOn === null) return usual;
  const isFailure = usual.outcome === "failed";
  if (isRetriedOn(retryOn, status)) return isFailure ? usual : { ...ENDPOINT_REFUSED, next: RETRY_FAILURE };
  return isFailure ? { ...usual, next: REFUSED } : PAYLOAD_REFUSED;
}

/** For an app without `retry_on`. */
function usualMeaningOf(status: number): Meaning {
  if (status >= 500) return FAILED;
  if (BUSY_CODES.has(status)) return BUSY;
  return PAYLOAD_REFUSALS.has(status) ? PAYLOAD_REFUSED : ENDPOINT_REFUSED;
}

function isSuccess(status: number): boolean {
  return status >= 200 && status < 300;
}

/** Whether the header has the value, in any case and as one of several. */
function isSaid(headers: Answered["headers"], name: string, value: string): boolean {
  const found = headers[name];
  if (found === undefined) return false;
  return [found].flat().some((text) => text.split(",").some((part) => part.trim().toLowerCase() === value));
}

const MAX_LOCATION_CHARACTERS = 200;

/** The target of a redirect, without the parts of a URL that often are secret. */
function redirectOf({ status, headers }: Answered): string {
  const location = status >= 300 && status < 400 ? headerOf(headers, "location") : undefined;
  if (location === undefined || location === "") return "";
  const shown = location
    .replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, "")
    .replace(/([?#]).*$/s, "$1[redacted]")
    .replace(/^([a-z][a-z0-9+.-]*:)?\/\/[^/]*@/i, "$1//[redacted]@");
  return `, a redirect to ${shown.length > MAX_LOCATION_CHARACTERS ? `${shown.slice(0, MAX_LOCATION_CHARACTERS)}…` : shown}, which is not followed`;
}

/** A response header's value by lower-case name; of several values the first. */
export function headerOf(headers: Readonly<Record<string, string | string[] | undefined>>, name: string): string | undefined {
  const value = headers[name];
  return Array.isArray(value) ? value[0] : value;
}
