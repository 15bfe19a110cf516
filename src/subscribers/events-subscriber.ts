/**
 * The events lane: reads each event, finds the installations that want it, and delivers it to each of them straight from
 * the message. The message is acknowledged when every delivery is done or stored.
 */
import { AckPolicy, DeliverPolicy, type JetStreamManager, nanos } from "nats";
import type { Dispatcher } from "../delivery/dispatcher.ts";
import type { AttemptLog, DeliveryObserver, LaneSource, ProcessSpan, TracePosition, Tracing } from "../delivery/ports.ts";
import type { Installation } from "../model/app.ts";
import { messageOf } from "../model/app-error.ts";
import { type Delivery, markOf, newDelivery } from "../model/delivery.ts";
import type { Event } from "../model/event.ts";
import { readEvent } from "../model/event-reader.ts";
import type { Logger } from "../model/logger.ts";
import type { LaneWriter } from "./lanes.ts";
import type { BusNames } from "./names.ts";
import { createPullLoop, type PullLoop, type PullLoopDependencies } from "./pull-loop.ts";
import type { PulledMessage } from "./pulled-message.ts";
import { ensureConsumer } from "./topology.ts";

export interface EventsSubscriber {
  /** @throws AppError STREAM_MISMATCH */
  start(): Promise<void>;
  /** Stops pulling; events in hand go on. */
  stop(): Promise<void>;
  /** Looks again whether it may pull. */
  poke(): void;
  /** Events that are not acknowledged yet. */
  held(): number;
}

export interface EventsSubscriberDependencies extends PullLoopDependencies {
  readonly manager: JetStreamManager;
  readonly names: BusNames;
  readonly match: (event: Event) => readonly Installation[];
  readonly dispatcher: Dispatcher;
  readonly lanes: LaneWriter;
  readonly log: AttemptLog;
  readonly observer: DeliveryObserver & EventObserver;
  readonly tracing: Tracing;
  readonly logger: Logger;
  /** Whether the index has everything: an event goes to the installations known when it is handled. */
  readonly isCurrent: () => boolean;
}

export interface EventObserver {
  eventHandled(event: Event, deliveries: number): void;
  eventUnreadable(subject: string, problem: string): void;
}

export interface EventsSubscriberOptions {
  /** Events held by this process at once. */
  readonly maxHeld: number;
}

const ACK_WAIT_MS = 30_000;
/** A message that was handed out more often than this may be what kills the process. */
export const MAX_REDELIVERIES = 10;
/** Events that were handed out and not acknowledged, over all replicas. */
const MAX_ACK_PENDING = 10_000;
/** After a failure that is not the event's fault. */
const AGAIN_AFTER_MS = 1_000;

export function createEventsSubscriber(dependencies: EventsSubscriberDependencies, options: EventsSubscriberOptions): EventsSubscriber {
  const { manager, names, match, dispatcher, lanes, log, observer, tracing, logger, isCurrent } = dependencies;
  const stream = names.streams.events;

  const ensure = async (): Promise<void> => {
    await ensureConsumer(manager, stream, {
      durable_name: names.eventsConsumer,
      ack_policy: AckPolicy.Explicit,
      deliver_policy: DeliverPolicy.All,
      ack_wait: nanos(ACK_WAIT_MS),
      max_deliver: -1,
      max_ack_pending: MAX_ACK_PENDING,
    });
  };

  const deliver = async (delivery: Delivery, span: ProcessSpan, source: LaneSource): Promise<void> => {
    if (await log.wasDelivered(delivery.app, markOf(delivery))) return observer.skipped(delivery);
    await dispatcher.dispatch(delivery, span, source);
  };

  const handle = (message: PulledMessage): void => {
    if (message.deliveries > MAX_REDELIVERIES + 1) {
      const error = `redelivered ${message.deliveries - 1} times without being acknowledged`;
      return settle(message, lanes.deadLetterRaw(message, "redelivered", error));
    }
    const [, , resource = "", action = ""] = message.subject.split(".");
    const read = readEvent({
      resource,
      action,
      body: message.data,
      header: message.header,
      fallbackId: `${stream}:${message.sequence}`,
      storedAt: message.storedAt,
    });
    if (!read.ok) {
      observer.eventUnreadable(message.subject, read.problem);
      return settle(message, lanes.deadLetterRaw(message, "invalid", read.problem));
    }
    const installations = match(read.event);
    observer.eventHandled(read.event, installations.length);
    if (installations.length === 0) return message.ack();

    const span = tracing.process(read.event, "events");
    const event = inTrace(read.event, span);
    const source: LaneSource = { stream, sequence: message.sequence };
    // Only what was handed out before can have been delivered before.
    const deliverOne = message.deliveries > 1 ? deliver : dispatcher.dispatch.bind(dispatcher);
    const [only] = installations;
    const all =
      installations.length === 1 && only !== undefined
        ? deliverOne(newDelivery(event, only.app, only.uuid, message.sequence), span, source)
        : Promise.all(installations.map(({ app, uuid }) => deliverOne(newDelivery(event, app, uuid, message.sequence), span, source)));
    settle(message, all, span);
  };

  const settle = (message: PulledMessage, work: Promise<unknown>, span?: ProcessSpan): void => {
    work.then(
      () => {
        message.ack();
        span?.end();
      },
      (error: unknown) => {
        logger.error({ subject: message.subject, sequence: message.sequence, error: messageOf(error) }, "event will be handled again");
        message.nak(AGAIN_AFTER_MS);
        span?.end(messageOf(error));
      },
    );
  };

  const loop: PullLoop = createPullLoop(dependencies, {
    stream,
    consumer: names.eventsConsumer,
    limit: () => (isCurrent() ? options.maxHeld : 0),
    onMessage: handle,
    recover: ensure,
    workingEveryMs: ACK_WAIT_MS / 3,
  });

  return {
    async start() {
      await ensure();
      loop.start();
    },
    stop: () => loop.stop(),
    poke: () => loop.poke(),
    held: () => loop.held(),
  };
}

/** An event that came without a trace starts one here, which its retries go on with. */
function inTrace(event: Event, { traceparent, tracestate }: TracePosition): Event {
  return event.traceparent === null ? { ...event, traceparent, tracestate } : event;
}
