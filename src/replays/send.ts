/**
 * Sends a delivery of a replay if it can be sent without delaying fresh ones: an attempt needs a slot that would leave half of the app's
 * share free, and nothing of the app may wait. What fails is stored for its retries, like any delivery.
 *
 * REPLAY-6  Deliveries that have to go through a parked queue (an ordered app, a paused installation, an app with one attempt at a time)
 *           are parked a few at a time, so that fresh ones wait behind few.
 */
import type { Admission, ParkedBecause } from "../delivery/admission.ts";
import type { Attempt } from "../delivery/attempt.ts";
import type { Dispatcher } from "../delivery/dispatcher.ts";
import type { Bulkhead } from "../delivery/limits/bulkhead.ts";
import type { DestinationOf } from "../delivery/limits/destination.ts";
import type { MessageRef } from "../delivery/ports.ts";
import type { Turn, Turns } from "../delivery/throttle/turns.ts";
import type { TracePosition, Tracing } from "../delivery/tracing-ports.ts";
import type { Delivery } from "../model/delivery.ts";
import type { WaitReason } from "./replay-record.ts";

/** `started`: `ended` resolves when it is delivered or stored, and rejects with AppError STREAM_REFUSED when it is neither. */
export type SendStart =
  | { readonly kind: "started"; readonly ended: Promise<void> }
  | { readonly kind: "wait"; readonly why: WaitReason }
  /** The app is no longer installed there. */
  | { readonly kind: "uninstalled" };

/** @param mayPark whether few enough deliveries of the replay wait in queues */
export type Send = (delivery: Delivery, source: MessageRef, mayPark: boolean) => SendStart;

export interface SendDependencies {
  readonly admission: Admission;
  readonly bulkhead: Bulkhead;
  readonly turns: Pick<Turns, "takeWithin" | "limitOf">;
  readonly destinationOf: DestinationOf;
  readonly attempt: Attempt;
  readonly dispatcher: Pick<Dispatcher, "apply" | "dispatch" | "park">;
  readonly tracing: Tracing;
  /** Limit of the app's concurrent attempts from here; with 0 all its deliveries go through its queue. */
  readonly directLimit: (app: string) => number;
  /** Takes room for the delivery in the parked stream. @returns gives it back; null: its app has none left */
  readonly takeRoom: (delivery: Delivery) => (() => void) | null;
}

const QUEUED = new Set(["ordered", "broken", "disabled"]);

export function createSend(dependencies: SendDependencies): Send {
  const { admission, bulkhead, turns, destinationOf, attempt, dispatcher, tracing, directLimit, takeRoom } = dependencies;

  const traced = (delivery: Delivery, work: (span: TracePosition) => Promise<void>): Promise<void> =>
    tracing.start("replay", delivery.event, (span) => tracing.deliver(span, delivery, work));

  const attemptIn = async (delivery: Delivery, destination: string, span: TracePosition, source: MessageRef): Promise<void> => {
    let end: Awaited<ReturnType<Attempt>>;
    try {
      end = await attempt(delivery, span);
    } finally {
      bulkhead.leave(delivery.app, destination);
    }
    // Admission has changed since: the delivery is parked like any other.
    if (end.kind === "deferred") await dispatcher.dispatch(delivery, span, source);
    else await dispatcher.apply(end, source, span);
  };

  /** Has a slot. @param turn resolves within moments: others don't wait for one */
  const attemptAfter = async (turn: Promise<Turn>, delivery: Delivery, destination: string, span: TracePosition, source: MessageRef) => {
    const isGranted = (await turn) === "granted" && admission.direct(delivery).kind === "open";
    if (isGranted) return attemptIn(delivery, destination, span, source);
    bulkhead.leave(delivery.app, destination);
    return dispatcher.dispatch(delivery, span, source);
  };

  return (delivery, source, mayPark) => {
    const { app } = delivery;
    const limit = directLimit(app);
    const destination = destinationOf(delivery.installationUuid);
    const share = Math.max(1, Math.floor(Math.min(limit, turns.limitOf(app)) / 2));
    // The slot comes first: admission may claim the probe of an open circuit, which then has to be made.
    const hasSlot = limit > 0 && bulkhead.tryEnter(app, share, destination);
    const decision = admission.direct(delivery);
    if (decision.kind === "open" && hasSlot) {
      const turn = turns.takeWithin(app, 0);
      if (turn === "granted") return { kind: "started", ended: traced(delivery, (span) => attemptIn(delivery, destination, span, source)) };
      if (typeof turn !== "string")
        return { kind: "started", ended: traced(delivery, (span) => attemptAfter(turn, delivery, destination, span, source)) };
    }
    if (hasSlot) bulkhead.leave(app, destination);
    if (decision.kind === "uninstalled") return decision;

    const isQueued = decision.kind === "park" ? QUEUED.has(decision.why) || (limit === 0 && decision.why === "queue") : limit === 0;
    if (!isQueued) return { kind: "wait", why: decision.kind === "park" ? reasonOf(decision.why) : hasSlot ? "rate" : "capacity" };
    const giveBack = mayPark ? takeRoom(delivery) : null;
    if (giveBack === null) return { kind: "wait", why: "queue" };
    // It is parked within this call, which takes the room again.
    giveBack();
    const [queue, why] = decision.kind === "park" ? [decision.queue, decision.why] : [{ app, installationUuid: null }, "bulkhead" as const];
    return { kind: "started", ended: traced(delivery, (span) => dispatcher.park(delivery, queue, why, source, span)) };
  };
}

function reasonOf(why: ParkedBecause): WaitReason {
  return why === "throttled" || why === "circuit" ? why : "queue";
}
