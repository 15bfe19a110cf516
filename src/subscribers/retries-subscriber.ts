/**
 * The retries lane: one durable consumer per rung. Within a rung messages come due in the order they were stored, so a
 * small batch from its head is held in memory until due, kept alive with working() heartbeats. A killed worker's batch
 * comes back after ack_wait.
 */
import { AckPolicy, type JetStreamManager, nanos } from "nats";
import type { Dispatcher } from "../delivery/dispatcher.ts";
import type { AttemptLog, DeliveryObserver, LaneSource, Tracing } from "../delivery/ports.ts";
import { nextStep, RUNGS_S } from "../delivery/rungs.ts";
import { messageOf } from "../model/app-error.ts";
import { type Delivery, markOf } from "../model/delivery.ts";
import { decodeLaneMessage, type LaneMessage } from "../model/lane-message.ts";
import { MAX_REDELIVERIES } from "./events-subscriber.ts";
import type { LaneWriter } from "./lanes.ts";
import type { BusNames } from "./names.ts";
import { createPullLoop, type PullLoop, type PullLoopDependencies } from "./pull-loop.ts";
import type { PulledMessage } from "./pulled-message.ts";
import { ensureConsumer } from "./topology.ts";

export interface RetriesSubscriber {
  start(): Promise<void>;
  /** Stops pulling and gives back what is not due yet; attempts in flight go on. */
  stop(): Promise<void>;
  held(): number;
}

export interface RetriesSubscriberDependencies extends PullLoopDependencies {
  readonly manager: JetStreamManager;
  readonly names: BusNames;
  readonly dispatcher: Dispatcher;
  readonly lanes: LaneWriter;
  readonly log: AttemptLog;
  readonly observer: DeliveryObserver;
  readonly tracing: Tracing;
}

/** Short, so that a killed worker's batch is not late by much. */
const ACK_WAIT_MS = 10_000;
/** Messages of one rung held by one process. */
const HELD_PER_RUNG = 128;
const MAX_ACK_PENDING = 10_000;
const AGAIN_AFTER_MS = 1_000;

export function createRetriesSubscriber(dependencies: RetriesSubscriberDependencies): RetriesSubscriber {
  const { manager, names, dispatcher, lanes, log, observer, tracing, clock, logger } = dependencies;
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
    if (dueInRungMs > 0) wait(message, dueInRungMs, () => handle(message));
    else handle(message);
  };

  const handle = (message: PulledMessage): void => {
    const app = message.subject.split(".").at(-1) ?? "";
    if (message.deliveries > MAX_REDELIVERIES + 1) {
      const error = `redelivered ${message.deliveries - 1} times without being acknowledged`;
      return settle(message, lanes.deadLetterRaw(message, "redelivered", error, app));
    }
    let lane: LaneMessage;
    try {
      lane = decodeLaneMessage(Buffer.from(message.data).toString("utf8"));
    } catch (error) {
      return settle(message, lanes.deadLetterRaw(message, "invalid", messageOf(error), app));
    }
    const source: LaneSource = { stream, sequence: message.sequence };
    const { delivery, delayMs, floor } = lane;
    const delay = { dueAt: lane.dueAt ?? 0, delayMs, floor };
    const step = nextStep(delay, clock.now());
    if (step.kind === "walk") return settle(message, lanes.retry(delivery, delay, source));
    if (step.kind === "wait") return wait(message, step.restMs, () => settle(message, attempt(delivery, source)));
    settle(message, attempt(delivery, source));
  };

  const attempt = async (delivery: Delivery, source: LaneSource): Promise<void> => {
    if (await log.wasDelivered(delivery.app, markOf(delivery))) return observer.skipped(delivery);
    const span = tracing.process(delivery.event, "retries");
    try {
      await dispatcher.dispatch(delivery, span, source);
    } finally {
      span.end();
    }
  };

  const settle = (message: PulledMessage, work: Promise<unknown>): void => {
    work.then(
      () => message.ack(),
      (error: unknown) => {
        logger.error({ subject: message.subject, sequence: message.sequence, error: messageOf(error) }, "retry will be handled again");
        message.nak(AGAIN_AFTER_MS);
      },
    );
  };

  const loops: readonly PullLoop[] = RUNGS_S.map((rungS) =>
    createPullLoop(dependencies, {
      stream,
      consumer: names.rungConsumer(rungS),
      limit: () => HELD_PER_RUNG,
      onMessage: (message) => onMessage(message, rungS),
      recover: () => ensure(rungS),
      workingEveryMs: ACK_WAIT_MS / 3,
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
