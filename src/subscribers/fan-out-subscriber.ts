/**
 * Deals out the parts of large fan-outs (model/fan-out-chunk.ts) that rest in the retries lane. A replica takes the next
 * part when of those it holds no delivery waits, for a place or to be stored, so that one slow receiver does not hold up
 * the rest, and a crash leaves little undone.
 */
import { AckPolicy, nanos } from "nats";
import type { DeliverAll } from "../delivery/deliver-all.ts";
import type { Tracing } from "../delivery/ports.ts";
import { messageOf } from "../model/app-error.ts";
import { newDelivery } from "../model/delivery.ts";
import { decodeChunk, type FanOutChunk } from "../model/fan-out-chunk.ts";
import type { LaneWriter } from "./lanes.ts";
import type { BusNames } from "./names.ts";
import { createPullLoop, type PullLoop, type PullLoopDependencies } from "./pull-loop.ts";
import { type PulledMessage, wornOut } from "./pulled-message.ts";
import type { Settle } from "./settle.ts";
import { ensureConsumer } from "./topology.ts";

export interface FanOutSubscriber {
  start(): Promise<void>;
  /** Stops pulling; parts in hand go on. */
  stop(): Promise<void>;
  held(): number;
}

export interface FanOutSubscriberDependencies extends PullLoopDependencies {
  readonly names: BusNames;
  readonly deliverAll: DeliverAll;
  readonly lanes: LaneWriter;
  readonly tracing: Tracing;
  readonly settle: Settle;
  /** Deliveries of this process that wait for a place, or to be stored. */
  readonly waiting: () => number;
}

const ACK_WAIT_MS = 10_000;
const MAX_CHUNKS_HELD = 8;
const MAX_ACK_PENDING = 1_000;

export function createFanOutSubscriber(dependencies: FanOutSubscriberDependencies): FanOutSubscriber {
  const { manager, names, deliverAll, lanes, tracing, settle, waiting } = dependencies;
  const stream = names.streams.retries;

  const ensure = async (): Promise<void> => {
    await ensureConsumer(manager, stream, {
      durable_name: names.fanOutConsumer,
      filter_subject: names.fanOut,
      ack_policy: AckPolicy.Explicit,
      ack_wait: nanos(ACK_WAIT_MS),
      max_deliver: -1,
      max_ack_pending: MAX_ACK_PENDING,
    });
  };

  const handle = (message: PulledMessage): void => {
    let chunk: FanOutChunk;
    try {
      chunk = decodeChunk(Buffer.from(message.data).toString("utf8"));
    } catch (error) {
      return settle(message, lanes.deadLetterRaw(message, "invalid", messageOf(error), null));
    }
    const { event, eventSequence, targets } = chunk;
    const deliveries = targets.map(({ app, uuid }) => newDelivery(event, app, uuid, eventSequence));
    settle(
      message,
      tracing.process(event, "fan-out", message, (span) => deliverAll(deliveries, span, message, true)),
    );
  };

  const loop: PullLoop = createPullLoop(dependencies, {
    stream,
    consumer: names.fanOutConsumer,
    workQueueSubject: names.fanOut,
    limit: () => (waiting() === 0 ? Math.min(loop.held() + 1, MAX_CHUNKS_HELD) : 1),
    onMessage: handle,
    onPoison: (message) => settle(message, lanes.deadLetterRaw(message, "redelivered", wornOut(message), null)),
    recover: ensure,
    ackWaitMs: ACK_WAIT_MS,
  });

  return {
    async start() {
      await ensure();
      loop.start();
    },
    stop: () => loop.stop(),
    held: () => loop.held(),
  };
}
