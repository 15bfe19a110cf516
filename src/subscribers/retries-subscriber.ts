/**
 * The retries lane: one durable consumer per rung. Within a rung messages come due in the order they were stored, so a
 * small batch from its head is held in memory until due, kept alive with working() heartbeats. A killed worker's batch
 * comes back after ack_wait.
 */
import { AckPolicy, nanos } from "nats";
import type { Dispatcher } from "../delivery/dispatcher.ts";
import type { AttemptLog, DeliveryObserver, LaneSource, TraceHeaders, Tracing } from "../delivery/ports.ts";
import { nextStep, RUNGS_S } from "../delivery/rungs.ts";
import { messageOf } from "../model/app-error.ts";
import type { Delivery } from "../model/delivery.ts";
import { decodeLaneMessage, type LaneMessage } from "../model/lane-message.ts";
import type { LaneWriter } from "./lanes.ts";
import type { BusNames } from "./names.ts";
import { createPullLoop, type PullLoop, type PullLoopDependencies } from "./pull-loop.ts";
import { cameBackWaiting, type PulledMessage, wornOut } from "./pulled-message.ts";
import type { Settle } from "./settle.ts";
import { ensureConsumer } from "./topology.ts";

export interface RetriesSubscriber {
  start(): Promise<void>;
  /** Stops pulling and gives back what is not due yet; attempts in flight go on. */
  stop(): Promise<void>;
  held(): number;
}

export interface RetriesSubscriberDependencies extends PullLoopDependencies {
  readonly names: BusNames;
  readonly dispatcher: Dispatcher;
  readonly lanes: LaneWriter;
  readonly log: AttemptLog;
  readonly observer: DeliveryObserver;
  readonly tracing: Tracing;
  readonly settle: Settle;
}

/** Short, so that a killed worker's batch is not late by much. */
const ACK_WAIT_MS = 10_000;
/** Messages of one rung held by one process. */
const HELD_PER_RUNG = 128;
const MAX_ACK_PENDING = 10_000;

export function createRetriesSubscriber(dependencies: RetriesSubscriberDependencies): RetriesSubscriber {
  const { manager, names, dispatcher, lanes, log, observer, tracing, settle, clock } = dependencies;
  const stream = names.streams.retries;
  const waiting = new Map<PulledMessage, () => void>();

  const ensure = async (rungS: number): Promise<void> => {
    await ensureConsumer(manager, stream, {
      durable_name: names.rungConsumer(rungS),
      filter_subject: names.rungFilter(rungS),
      ack_policy: AckPolicy.Explicit,
      ack_wait: nanos(ACK_WAIT_MS),
      max_deliver: -1,
      max_ack_pending: MAX_ACK_PENDING,
    });
  };

  const wait = (message: PulledMessage, delayMs: number, then: () => void): void => {
    const cancel = clock.after(delayMs, () => {
      waiting.delete(message);
      then();
    });
    waiting.set(message, cancel);
  };

  const onMessage = (message: PulledMessage, rungS: number): void => {
    const dueInRungMs = message.storedAt + rungS * 1000 - clock.now();
    // Handled early, it is stored anew for the rest of its delay.
    if (dueInRungMs > 0 && !cameBackWaiting(message)) wait(message, dueInRungMs, () => handle(message));
    else handle(message);
  };

  const handle = (message: PulledMessage): void => {
    const app = appOf(message);
    let lane: LaneMessage;
    try {
      lane = decodeLaneMessage(Buffer.from(message.data).toString("utf8"));
    } catch (error) {
      return settle(message, lanes.deadLetterRaw(message, "invalid", messageOf(error), app));
    }
    const source: LaneSource = message;
    const { delivery, delayMs, floor } = lane;
    const delay = { dueAt: lane.dueAt ?? 0, delayMs, floor };
    const step = nextStep(delay, clock.now());
    switch (step.kind) {
      case "walk":
        return settle(message, lanes.retry(delivery, delay, source, traceOf(message, delivery)));
      case "wait":
        return wait(message, step.restMs, () => settle(message, attempt(message, delivery, source)));
      case "attempt":
        return settle(message, attempt(message, delivery, source));
    }
  };

  const attempt = async (message: PulledMessage, delivery: Delivery, source: LaneSource): Promise<void> => {
    if (await log.isDone(delivery)) return observer.skipped(delivery);
    await tracing.process(delivery.event, "retries", message, (span) => dispatcher.dispatch(delivery, span, source));
  };

  const loops: readonly PullLoop[] = RUNGS_S.map((rungS) =>
    createPullLoop(dependencies, {
      stream,
      consumer: names.rungConsumer(rungS),
      workQueueSubject: names.rungFilter(rungS),
      limit: () => HELD_PER_RUNG,
      onMessage: (message) => onMessage(message, rungS),
      onPoison: (message) => settle(message, lanes.deadLetterRaw(message, "redelivered", wornOut(message), appOf(message))),
      onLost: (message) => {
        waiting.get(message)?.();
        if (waiting.delete(message)) message.drop();
      },
      recover: () => ensure(rungS),
      ackWaitMs: ACK_WAIT_MS,
    }),
  );

  return {
    async start() {
      for (const rungS of RUNGS_S) await ensure(rungS);
      for (const loop of loops) loop.start();
    },
    async stop() {
      const stopped = Promise.all(loops.map((loop) => loop.stop()));
      for (const [message, cancel] of waiting) {
        cancel();
        message.nak(1);
      }
      waiting.clear();
      await stopped;
    },
    held: () => loops.reduce((sum, loop) => sum + loop.held(), 0),
  };
}

function appOf({ subject }: PulledMessage): string {
  return subject.split(".").at(-1) ?? "";
}

/** A hop to the next rung is no step of its own in the trace: the next attempt follows from what was stored first. */
function traceOf(message: PulledMessage, { event }: Delivery): TraceHeaders {
  const traceparent = message.header("traceparent");
  return traceparent === undefined ? event : { traceparent, tracestate: message.header("tracestate") ?? null };
}
