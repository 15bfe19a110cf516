/**
 * The events lane: reads each event, finds the installations that want it, and delivers it to each of them straight from
 * the message. The message is acknowledged when every delivery is done or stored.
 *
 * V1  What was stored before this replica began, or lost its connection, may have been delivered, whatever its redelivery
 *     count says: a server that was killed forgets acks, and a consumer made anew starts from a saved floor.
 * V2  An event for very many is stored in parts first (model/fan-out-chunk.ts), so that it is never held as a whole.
 */
import { AckPolicy, nanos } from "nats";
import type { DeliverAll } from "../delivery/deliver-all.ts";
import type { DeliveryObserver, LaneSource, TracePosition, Tracing } from "../delivery/ports.ts";
import type { Installation } from "../model/app.ts";
import { newDelivery } from "../model/delivery.ts";
import type { Event } from "../model/event.ts";
import { type EventLimits, type ReadEvent, readEvent } from "../model/event-reader.ts";
import type { AckFloor } from "./ack-floor.ts";
import type { LaneWriter } from "./lanes.ts";
import type { BusNames } from "./names.ts";
import { createPullLoop, type PullLoop, type PullLoopDependencies } from "./pull-loop.ts";
import { isWornOut, type PulledMessage, wornOut } from "./pulled-message.ts";
import type { Settle } from "./settle.ts";
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
  readonly names: BusNames;
  readonly match: (event: Event) => readonly Installation[];
  readonly deliverAll: DeliverAll;
  readonly lanes: LaneWriter;
  readonly ackFloor: AckFloor;
  readonly observer: DeliveryObserver & EventObserver;
  readonly tracing: Tracing;
  readonly settle: Settle;
}

export interface EventObserver {
  eventHandled(event: Event, deliveries: number): void;
  eventUnreadable(subject: string, problem: string): void;
}

export interface EventsSubscriberOptions {
  /** Events held by this process at once. */
  readonly maxHeld: number;
  readonly limits: EventLimits;
}

const ACK_WAIT_MS = 30_000;
/** Events that were handed out and not acknowledged, over all replicas. */
const MAX_ACK_PENDING = 10_000;
/** An event for more installations than this is stored in parts. */
const MAX_DIRECT_TARGETS = 500;

export function createEventsSubscriber(dependencies: EventsSubscriberDependencies, options: EventsSubscriberOptions): EventsSubscriber {
  const { manager, names, match, deliverAll, lanes, ackFloor, observer, tracing, settle } = dependencies;
  const stream = names.streams.events;
  /** V1. */
  let suspectUpTo = 0;

  const ensure = async (): Promise<void> => {
    await ensureConsumer(
      manager,
      stream,
      {
        durable_name: names.eventsConsumer,
        ack_policy: AckPolicy.Explicit,
        ack_wait: nanos(ACK_WAIT_MS),
        max_deliver: -1,
        max_ack_pending: MAX_ACK_PENDING,
      },
      ackFloor.startingPoint,
    );
    suspectUpTo = (await manager.streams.info(stream)).state.last_seq;
  };

  const read = (message: PulledMessage): ReadEvent => {
    const [, , resource = "", action = "", ...more] = message.subject.split(".");
    if (more.length > 0)
      return { ok: false, problem: `subject: found ${message.subject}, wanted ${names.event("<resource>", "<action>")}` };
    const raw = {
      resource,
      action,
      body: message.data,
      header: (name: string) => message.header(name),
      headerCount: () => message.headerCount(),
      fallbackId: `${stream}:${message.sequence}`,
      storedAt: message.storedAt,
    };
    return readEvent(raw, options.limits);
  };

  const handle = (message: PulledMessage): void => {
    if (isWornOut(message)) return settle(message, lanes.deadLetterRaw(message, "redelivered", wornOut(message), null));
    const found = read(message);
    if (!found.ok) {
      observer.eventUnreadable(message.subject, found.problem);
      return settle(message, lanes.deadLetterRaw(message, "invalid", found.problem, null));
    }
    const installations = match(found.event);
    observer.eventHandled(found.event, installations.length);
    if (installations.length === 0) return message.ack();

    const { sequence } = message;
    const source: LaneSource = { stream, sequence };
    const work = tracing.process<unknown>(found.event, "events", message, (span) => {
      const event = inTrace(found.event, span);
      if (installations.length > MAX_DIRECT_TARGETS) {
        const fanOut = { event, eventSequence: sequence, targets: installations };
        return tracing.fanOut(span, event, (trace) => lanes.fanOut(fanOut, source, trace));
      }
      const deliveries = installations.map(({ app, uuid }) => newDelivery(event, app, uuid, sequence));
      const mayBeDone = message.deliveries > 1 || sequence <= suspectUpTo;
      return deliverAll(deliveries, span, source, mayBeDone);
    });
    settle(message, work);
  };

  const loop: PullLoop = createPullLoop(dependencies, {
    stream,
    consumer: names.eventsConsumer,
    workQueueSubject: null,
    limit: () => options.maxHeld,
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
