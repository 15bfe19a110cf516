/**
 * What became of a delivery, from everything that is known of it. Pure. The latest evidence wins: a delivered attempt says
 * more than a stream message that is older, and a stream message more than a mark.
 */
import { type App, type Installation, isOrdered } from "../model/app.ts";
import type { CircuitState } from "../model/circuit-state.ts";
import { toRfc3339 } from "../model/clock.ts";
import type { DeliveryHistory, LocatedDelivery, NotedSkip, RestOfEvent, StoredEvent } from "../model/delivery-location.ts";
import { type BrokenAction, pauseReason } from "../model/installation-pause.ts";
import { epochMsOf } from "../model/rfc3339.ts";
import { parseTraceparent } from "../model/trace-context.ts";
import type { ExplainedAttempt, ExplainedDelivery } from "./answer-schemas.ts";

export interface DeliveryFacts {
  readonly deliveryId: string;
  readonly app: string;
  readonly installationUuid: string;
  /** As of now; undefined: gone. */
  readonly registered: { readonly app: App | undefined; readonly installation: Installation | undefined };
  readonly stored: StoredEvent | null;
  readonly history: DeliveryHistory | null;
  readonly located: LocatedDelivery | null;
  /** Of its event as a whole. */
  readonly rest: RestOfEvent | null;
  /** Oldest first. */
  readonly attempts: readonly ExplainedAttempt[];
  readonly circuit: CircuitState;
  /** When a broken installation is probed next, milliseconds since the epoch. */
  readonly nextProbeAt: number | null;
  /** Parked: it is the oldest of its queue, which a probe of the integration or of the circuit is made with. */
  readonly isOldest: boolean;
  readonly maxParkedAgeMs: number;
  readonly brokenAction: BrokenAction;
  readonly now: number;
}

type State = Pick<ExplainedDelivery, "state" | "detail"> & { readonly nextAttemptAt: number | null };

/** The attempt that delivered it, by its row or by its mark. */
interface Arrival {
  /** When it ended, milliseconds since the epoch; null: not known, nor is the rest. */
  readonly at: number | null;
  readonly attempt: number;
  readonly responseCode: number;
}
type ParkedBecause = NonNullable<ExplainedDelivery["parked"]>["because"];

export function explainState(facts: DeliveryFacts): ExplainedDelivery {
  const { located, attempts, registered, rest } = facts;
  const arrival = arrivalOf(facts);
  const { state, detail, nextAttemptAt } = arrival === null || isOnItsWayAgain(facts) ? stateOf(facts) : deliveredBy(arrival);
  return {
    delivery_id: facts.deliveryId,
    app: facts.app,
    installation_uuid: facts.installationUuid,
    state,
    detail,
    delivered_at: arrival === null || arrival.at === null ? null : toRfc3339(arrival.at),
    next_attempt_at: nextAttemptAt === null ? null : toRfc3339(nextAttemptAt),
    retry: located?.stream === "retries" ? retryOf(located) : null,
    parked: located?.stream === "parked" ? parkedOf(located, facts) : null,
    dead_letter: located?.stream === "dead-letters" ? deadLetterOf(located) : rest?.kind === "dead-letter" ? deadLetterOf(rest) : null,
    installation_status: registered.installation?.status ?? "uninstalled",
    circuit: facts.circuit.state,
    attempts: [...attempts],
    skipped: (facts.history?.skips ?? []).map(skipOf),
    trace_id: traceIdOf(facts),
  };
}

function skipOf({ eventSequence, deliveredSequence, at }: NotedSkip): ExplainedDelivery["skipped"][number] {
  const what =
    eventSequence === deliveredSequence
      ? `event message ${eventSequence} was handled again`
      : `event message ${eventSequence} is of the same event as message ${deliveredSequence ?? "unknown"}`;
  return {
    at: toRfc3339(at),
    event_sequence: eventSequence,
    delivered_event_sequence: deliveredSequence,
    detail: `${what}, which had been delivered: it was skipped`,
  };
}

/** Of its first attempt that is known: resends and replays go on with it. */
function traceIdOf({ attempts, history, located, stored }: DeliveryFacts): string | null {
  const row = attempts.find(({ trace_id: id }) => id !== null);
  const traceparents = [history?.runs[0]?.last?.traceparent, (located?.delivery.event ?? stored?.event)?.traceparent];
  return row?.trace_id ?? traceparents.map((header) => parseTraceparent(header)?.traceId).find((id) => id !== undefined) ?? null;
}

function arrivalOf({ attempts, history }: DeliveryFacts): Arrival | null {
  const row = attempts.findLast(({ outcome }) => outcome === "delivered");
  if (row !== undefined) return { at: endOf(row), attempt: row.attempt, responseCode: row.response_code };
  const run = history?.runs.findLast(({ delivered }) => delivered);
  if (run === undefined) return null;
  return { at: run.last?.endedAt ?? null, attempt: run.last?.attempt ?? 0, responseCode: run.last?.responseCode ?? 0 };
}

/** A stream has it, for a run that is not known as delivered. */
function isOnItsWayAgain({ located, attempts, history }: DeliveryFacts): boolean {
  if (located === null) return false;
  const isDone = attempts.some((one) => one.outcome === "delivered" && endOf(one) >= located.storedAt);
  return !isDone && !history?.runs.some(({ replay, delivered }) => delivered && replay === located.delivery.replay);
}

function deliveredBy({ at, attempt, responseCode }: Arrival): State {
  const detail =
    at === null
      ? "delivered; when is not known any more"
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
      return given(located);
    default:
      return nowhere(facts);
  }
}

function endOf({ at, duration_ms: durationMs }: ExplainedAttempt): number {
  return epochMsOf(at) + durationMs;
}

function retrying(located: LocatedDelivery & { stream: "retries" }, { registered, brokenAction, circuit, now }: DeliveryFacts): State {
  const { dueAt, delivery } = located;
  const run = delivery.replay === null ? "" : " of a resend or replay";
  const when = dueAt <= now ? "is due now" : `is due at ${toRfc3339(dueAt)}`;
  const due = `attempt ${delivery.attemptsMade + 1}${run} ${when}`;
  const state = (detail: string, nextAttemptAt: number | null): State => ({ state: "retrying", detail, nextAttemptAt });
  const status = registered.app && registered.installation?.status;
  if (status === undefined) return state(`${due}; the installation is gone: it goes to dead letters then`, null);
  const paused = pauseReason(status, brokenAction);
  if (paused !== null) return state(`${due}; the installation is ${paused}: it is parked then`, null);
  if (circuit.state !== "closed" && circuit.openUntil > dueAt) return state(`${due}; the app's circuit is open: it is parked then`, null);
  return state(due, dueAt);
}

function parked(located: LocatedDelivery & { stream: "parked" }, facts: DeliveryFacts): State {
  const { circuit, nextProbeAt, isOldest } = facts;
  const since = `parked since ${toRfc3339(sinceOf(located))}`;
  const at = (time: number | null, detail: string): State => ({ state: "parked", detail: `${since}: ${detail}`, nextAttemptAt: time });
  if (facts.registered.installation === undefined) return at(null, "the installation is gone; it goes to dead letters when its turn comes");
  switch (becauseOf(located, facts)) {
    case "disabled":
      return at(null, "the installation is disabled; it is delivered when somebody enables it");
    case "broken":
      return at(
        isOldest ? nextProbeAt : null,
        isOldest
          ? "the integration is broken; this is its next probe, a success delivers the others"
          : `the integration is broken; it is probed with the oldest parked delivery${nextProbeAt === null ? "" : `, from ${toRfc3339(nextProbeAt)} on`}, and a success delivers the others`,
      );
    case "circuit":
      return circuit.state === "open"
        ? at(
            isOldest ? circuit.openUntil : null,
            `the app's circuit is open until ${toRfc3339(circuit.openUntil)}; then one delivery tries it, and a success lets the others go`,
          )
        : at(null, "the app's circuit is half open; one delivery is trying it");
    case "ordered":
      if (located.dueAt === null) return at(null, "it keeps the order of the events, and others are before it");
      return at(
        located.dueAt > facts.now ? located.dueAt : null,
        `attempt ${located.delivery.attemptsMade + 1} is due at ${toRfc3339(located.dueAt)}, everything behind it waits for it`,
      );
    case "queue":
      return at(null, "it waits for those before it, or for one of the app's places");
  }
}

type GivenUp = Pick<LocatedDelivery & { stream: "dead-letters" }, "sequence" | "storedAt" | "error"> & { readonly reason: string };

function given({ sequence, reason, error }: GivenUp): State {
  const why = error === null ? reason : `${reason}: ${error}`;
  return {
    state: "dead_letter",
    detail: `given up (${why}); POST /v1/dead-letters/${sequence}/replay sends it again`,
    nextAttemptAt: null,
  };
}

function nowhere({ stored, history, rest, attempts }: DeliveryFacts): State {
  const state = (name: "pending" | "test_failed" | "unknown", detail: string): State => ({ state: name, detail, nextAttemptAt: null });
  if (stored?.stage === "waiting") return state("pending", "its event waits in the events stream, no replica has taken it yet");
  if (stored?.stage === "taken") return state("pending", "its event is being handled now");
  if (rest?.kind === "parts") return state("pending", "its event goes to very many installations and is being dealt out in parts");
  if (rest?.kind === "dead-letter") return given(rest);
  const last = attempts.at(-1);
  if (last !== undefined && isTestCall(history))
    return state("test_failed", `the outcome of the test call was ${last.outcome}; it is not tried again`);
  if (last !== undefined) return state("unknown", `attempt ${last.attempt} was ${last.outcome}, and no stream that was looked at holds it`);
  return state("unknown", "nothing is known of it: no attempt in the request log, and no stream that was looked at holds it");
}

/** The event of a test call never is in the stream, and its delivery in no stream. */
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

/** As the admission would say now. */
function becauseOf({ ofInstallation }: LocatedDelivery & { stream: "parked" }, { registered, circuit }: DeliveryFacts): ParkedBecause {
  const status = registered.installation?.status;
  if (ofInstallation && (status === "disabled" || status === "broken")) return status;
  if (circuit.state !== "closed") return "circuit";
  return isOrdered(registered.app) ? "ordered" : "queue";
}
