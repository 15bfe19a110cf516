/**
 * The state of a delivery, derived from everything that is known about it. Pure. The latest evidence wins: a delivered
 * attempt over an older stream message, and a stream message over a dedup key.
 */

import { type App, type Installation, isOrdered } from "../model/app.ts";
import { paceText } from "../model/app-pace.ts";
import type { CircuitState } from "../model/circuit-state.ts";
import { toRfc3339 } from "../model/clock.ts";
import type { DeliveryHistory, LocatedDelivery, NotedSkip, RemainingEvent, StoredEvent } from "../model/delivery-location.ts";
import { type BrokenAction, pauseReason } from "../model/installation-pause.ts";
import { type KeyStop, keyStopView } from "../model/key-stop.ts";
import { epochMsOf } from "../model/rfc3339.ts";
import type { Throttle } from "../model/throttle.ts";
import { parseTraceparent } from "../model/trace-context.ts";
import type { ExplainedAttempt, ExplainedDelivery } from "./answer-schemas.ts";
import { type PacedWait, pacedWaitText, turnAt } from "./paced-wait.ts";
import { HOW_TO_CONTINUE, stoppedBy } from "./stopped-by.ts";
import { timelineOf } from "./timeline.ts";

export interface DeliveryFacts {
  readonly deliveryId: string;
  readonly app: string;
  readonly installationUuid: string;
  /** The registry's records now; undefined: removed. */
  readonly registered: { readonly app: App | undefined; readonly installation: Installation | undefined };
  readonly stored: StoredEvent | null;
  readonly history: DeliveryHistory | null;
  readonly located: LocatedDelivery | null;
  /** The remaining event, for a delivery without a message. */
  readonly remaining: RemainingEvent | null;
  /** Oldest first. */
  readonly attempts: readonly ExplainedAttempt[];
  readonly circuit: CircuitState;
  /** Null: the app is not throttled. */
  readonly throttle: Throttle | null;
  /** The delivery that stops its order key, perhaps itself; null: none. */
  readonly stop: KeyStop | null;
  /** Null: its app is at no limit that is known. */
  readonly pace: PacedWait | null;
  /** Attempts of the app at once. */
  readonly maxInFlight: number;
  /** When a broken installation is probed next, milliseconds since the epoch. */
  readonly probeDueAt: number | null;
  /** It is the oldest delivery of its parked queue, which recovery and circuit probes use. */
  readonly isOldest: boolean;
  readonly maxParkedAgeMs: number;
  readonly brokenAction: BrokenAction;
  readonly now: number;
}

type State = Pick<ExplainedDelivery, "state" | "detail"> & { readonly nextAttemptAt: number | null };

/** The attempt that delivered it, by its log row or its dedup key. */
interface DeliveredAttempt {
  /** When it ended, milliseconds since the epoch; null: neither this nor the other members are known. */
  readonly at: number | null;
  readonly attempt: number;
  readonly responseCode: number;
}
type ParkedBecause = NonNullable<ExplainedDelivery["parked"]>["because"];

export function explainState(facts: DeliveryFacts): ExplainedDelivery {
  const { located, attempts, registered, remaining } = facts;
  const delivered = deliveredAttemptOf(facts);
  const { state, detail, nextAttemptAt } = delivered === null || isSentAgain(facts) ? stateOf(facts) : deliveredBy(delivered);
  const described: Omit<ExplainedDelivery, "timeline"> = {
    delivery_id: facts.deliveryId,
    app: facts.app,
    installation_uuid: facts.installationUuid,
    state,
    detail,
    delivered_at: delivered === null || delivered.at === null ? null : toRfc3339(delivered.at),
    next_attempt_at: nextAttemptAt === null ? null : toRfc3339(nextAttemptAt),
    retry: located?.stream === "retries" ? retryOf(located) : null,
    parked: located?.stream === "parked" ? parkedOf(located, facts) : null,
    dead_letter:
      located?.stream === "dead-letters" ? deadLetterOf(located) : remaining?.kind === "dead-letter" ? deadLetterOf(remaining) : null,
    installation_status: registered.installation?.status ?? "uninstalled",
    throttled: throttledOf(facts),
    stopped_by: facts.stop && keyStopView(facts.stop),
    circuit: facts.circuit.state,
    attempts: [...attempts],
    skipped: (facts.history?.skips ?? []).map(skipOf),
    trace_id: traceIdOf(facts),
  };
  return { ...described, timeline: timelineOf(described, facts.stored) };
}

function skipOf({ eventSequence, deliveredSequence, wasWaiting, at }: NotedSkip): ExplainedDelivery["skipped"][number] {
  const skippedMessage =
    eventSequence === deliveredSequence
      ? `event message ${eventSequence} was handled again`
      : `event message ${eventSequence} has the same event as message ${deliveredSequence ?? "unknown"}`;
  return {
    at: toRfc3339(at),
    event_sequence: eventSequence,
    delivered_event_sequence: deliveredSequence,
    detail: `${skippedMessage}, which ${wasWaiting ? "waited for its turn" : "was delivered"} already: skipped`,
  };
}

/** The trace of its first known attempt, which resends and replays continue. */
function traceIdOf({ attempts, history, located, stored }: DeliveryFacts): string | null {
  const row = attempts.find(({ trace_id: id }) => id !== null);
  const traceparents = [history?.runs[0]?.last?.traceparent, (located?.delivery.event ?? stored?.event)?.traceparent];
  return row?.trace_id ?? traceparents.map((header) => parseTraceparent(header)?.traceId).find((id) => id !== undefined) ?? null;
}

function deliveredAttemptOf({ attempts, history }: DeliveryFacts): DeliveredAttempt | null {
  const row = attempts.findLast(({ outcome }) => outcome === "delivered");
  if (row !== undefined) return { at: endOf(row), attempt: row.attempt, responseCode: row.response_code };
  const run = history?.runs.findLast(({ delivered }) => delivered);
  if (run === undefined) return null;
  return { at: run.last?.endedAt ?? null, attempt: run.last?.attempt ?? 0, responseCode: run.last?.responseCode ?? 0 };
}

/** A stream holds it for a run that is not known as delivered. */
function isSentAgain({ located, attempts, history }: DeliveryFacts): boolean {
  if (located === null) return false;
  const isDelivered = attempts.some((one) => one.outcome === "delivered" && endOf(one) >= located.storedAt);
  return !isDelivered && !history?.runs.some(({ replay, delivered }) => delivered && replay === located.delivery.replay);
}

function deliveredBy({ at, attempt, responseCode }: DeliveredAttempt): State {
  const detail =
    at === null
      ? "delivered; the time is no longer known"
      : `delivered at ${toRfc3339(at)} by attempt ${attempt}, answered with status ${responseCode}`;
  return { state: "delivered", detail, nextAttemptAt: null };
}

function stateOf(facts: DeliveryFacts): State {
  const { located } = facts;
  switch (located?.stream) {
    case "retries":
      return retrying(located, facts);
    case "parked":
      return parked(located, facts);
    case "dead-letters":
      return deadLettered(located, facts.stop);
    default:
      return notInStreams(facts);
  }
}

function endOf({ at, duration_ms: durationMs }: ExplainedAttempt): number {
  return epochMsOf(at) + durationMs;
}

function retrying(located: LocatedDelivery & { stream: "retries" }, facts: DeliveryFacts): State {
  const { registered, brokenAction, throttle, circuit, now } = facts;
  const { dueAt, delivery } = located;
  const run = delivery.replay === null ? "" : " of a resend or replay";
  const when = dueAt <= now ? "is due now" : `is due at ${toRfc3339(dueAt)}`;
  const due = `attempt ${delivery.attemptsMade + 1}${run} ${when}`;
  const state = (detail: string, nextAttemptAt: number | null): State => ({ state: "retrying", detail, nextAttemptAt });
  const status = registered.app && registered.installation?.status;
  if (status === undefined) return state(`${due}; it will go to dead letters then, because the installation was removed`, null);
  const paused = pauseReason(status, brokenAction);
  if (paused !== null) return state(`${due}; it will be parked then, because the installation is ${paused}`, null);
  if (throttle !== null && throttle.until >= dueAt)
    return throttledState(throttle, `attempt ${delivery.attemptsMade + 1}${run} follows then`);
  if (circuit.state !== "closed" && circuit.openUntil > dueAt)
    return state(`${due}; it will be parked then, because the app's circuit is open`, null);
  return state(due, dueAt);
}

function throttledState({ until, responseCode }: Throttle, next: string): State {
  return {
    state: "throttled",
    detail: `throttled until ${toRfc3339(until)}, the receiver answered ${responseCode}; ${next}`,
    nextAttemptAt: until,
  };
}

function throttledOf({ throttle }: DeliveryFacts): ExplainedDelivery["throttled"] {
  return throttle && { until: toRfc3339(throttle.until), response_code: throttle.responseCode };
}

function parked(located: LocatedDelivery & { stream: "parked" }, facts: DeliveryFacts): State {
  const { throttle, circuit, stop, pace, probeDueAt, isOldest } = facts;
  const isProbe = isOldest && !isOrdered(facts.registered.app);
  const since = `parked since ${toRfc3339(sinceOf(located))}`;
  const at = (time: number | null, detail: string): State => ({ state: "parked", detail: `${since}: ${detail}`, nextAttemptAt: time });
  if (facts.registered.installation === undefined)
    return at(null, "the installation was removed; it goes to dead letters when its turn comes");
  const because = becauseOf(located, facts);
  if (because === "throttled" && throttle !== null) return throttledState(throttle, `${since}, and delivered in its turn`);
  switch (because) {
    case "disabled":
      return at(
        null,
        `the installation is disabled${stop === null ? "; it is delivered when the installation is enabled" : `, and ${stoppedBy(stop)}`}`,
      );
    case "broken":
      if (stop !== null) return at(null, `the integration is broken, and ${stoppedBy(stop)}`);
      return at(isProbe ? probeDueAt : null, `the integration is broken; ${probeText(isProbe, facts)}, and a success releases the others`);
    case "circuit":
      return circuit.state === "open"
        ? at(
            isOldest ? circuit.openUntil : null,
            `the app's circuit is open until ${toRfc3339(circuit.openUntil)}; then one delivery probes it, and a success releases the others`,
          )
        : at(null, "the app's circuit is half open; one delivery is probing it");
    case "stopped":
      return at(null, stop === null ? "" : stoppedBy(stop));
    case "ordered":
      if (located.dueAt === null) {
        const limit = pace === null ? "" : `, and wait for ${paceText(pace)}`;
        return at(null, `the app is ordered, and earlier deliveries come first${limit}`);
      }
      return at(
        located.dueAt > facts.now ? located.dueAt : null,
        `attempt ${located.delivery.attemptsMade + 1} is due at ${toRfc3339(located.dueAt)}; later deliveries with the same order key wait for it`,
      );
    case "rate_limit":
    case "pace":
      return pace === null ? at(null, "") : at(turnAt(pace, facts.now), pacedWaitText(pace, facts.now));
    case "throttled":
    case "queue":
      return at(null, `earlier deliveries come first, at most ${facts.maxInFlight} at once (max_in_flight)`);
  }
}

/** In the queue of an ordered app, the oldest may have to wait for others. */
function probeText(isProbe: boolean, { registered, probeDueAt }: DeliveryFacts): string {
  if (isProbe) return "this delivery is its next probe";
  const which = isOrdered(registered.app) ? "a parked delivery that is the next one of its order" : "the oldest parked delivery";
  return `${which} probes it${probeDueAt === null ? "" : ` from ${toRfc3339(probeDueAt)} on`}`;
}

type GivenUp = Pick<LocatedDelivery & { stream: "dead-letters" }, "sequence" | "storedAt" | "error"> & { readonly reason: string };

function deadLettered({ sequence, reason, error }: GivenUp, stop: KeyStop | null = null): State {
  const why = error === null ? reason : `${reason}: ${error}`;
  const isStop = stop?.deadLetter === sequence;
  const next = isStop ? `has stopped its order key since ${toRfc3339(stop.since)}; ${HOW_TO_CONTINUE}` : "can be replayed";
  return { state: "dead_letter", detail: `given up (${why}); dead letter ${sequence} ${next}`, nextAttemptAt: null };
}

function notInStreams({ stored, history, remaining, attempts }: DeliveryFacts): State {
  const state = (name: "pending" | "test_failed" | "unknown", detail: string): State => ({ state: name, detail, nextAttemptAt: null });
  if (stored?.stage === "waiting") return state("pending", "its event waits in the events stream; no replica has taken it yet");
  if (stored?.stage === "taken") return state("pending", "its event is being handled now");
  if (remaining?.kind === "batches") return state("pending", "its event goes to many installations and is being fanned out in batches");
  if (remaining?.kind === "dead-letter") return deadLettered(remaining);
  const last = attempts.at(-1);
  if (last !== undefined && isTestCall(history))
    return state("test_failed", `the outcome of the test call was ${last.outcome}; test calls are not retried`);
  if (last !== undefined) return state("unknown", `attempt ${last.attempt} was ${last.outcome}, and no stream that was searched holds it`);
  return state("unknown", "nothing is known about it: the request log has no attempt, and no stream that was searched holds it");
}

/** Neither the event of a test call nor its delivery is ever stored in a stream. */
export function isTestCall(history: DeliveryHistory | null): boolean {
  return history !== null && history.eventSequence === null && history.location === null;
}

function retryOf({ sequence, tierS, dueAt, storedAt }: LocatedDelivery & { stream: "retries" }): ExplainedDelivery["retry"] {
  return { sequence, tier_s: tierS, due_at: toRfc3339(dueAt), stored_at: toRfc3339(storedAt) };
}

function parkedOf(located: LocatedDelivery & { stream: "parked" }, facts: DeliveryFacts): ExplainedDelivery["parked"] {
  const since = sinceOf(located);
  return {
    sequence: located.sequence,
    queue: located.queue,
    since: toRfc3339(since),
    because: becauseOf(located, facts),
    expires_at: toRfc3339(since + facts.maxParkedAgeMs),
  };
}

function deadLetterOf({ sequence, reason, error, storedAt }: GivenUp): ExplainedDelivery["dead_letter"] {
  return { sequence, reason, error, at: toRfc3339(storedAt) };
}

function sinceOf({ delivery: { firstParkedAt }, storedAt }: LocatedDelivery): number {
  return firstParkedAt ?? storedAt;
}

/** The admission's decision if it were made now. */
function becauseOf(
  { ofInstallation, dueAt }: LocatedDelivery & { stream: "parked" },
  { registered, stop, throttle, circuit, pace }: DeliveryFacts,
): ParkedBecause {
  const status = registered.installation?.status;
  if (ofInstallation && (status === "disabled" || status === "broken")) return status;
  if (stop !== null) return "stopped";
  // An ordered delivery may have to wait for longer.
  if (throttle !== null && throttle.until >= (dueAt ?? 0)) return "throttled";
  if (circuit.state !== "closed") return "circuit";
  if (isOrdered(registered.app)) return "ordered";
  return pace === null ? "queue" : pace.because;
}
