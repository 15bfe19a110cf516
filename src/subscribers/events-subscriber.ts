/**
 * The events stream: reads each event, finds the installations that want it, and delivers it to each of them straight from
 * the message. The message is acknowledged when every delivery is done or stored.
 *
 * EVENTS-1  Events that were stored before this replica began, or lost its connection, may have been delivered, whatever their
 *           redelivery count says: a server that was killed forgets acks, and a recreated consumer starts from a saved floor.
 * EVENTS-2  An event for very many installations is stored in batches first (model/fan-out-batch.ts), and never held as a whole.
 * EVENTS-3  Held events are limited by deliveries and bytes, not by events, and an event that has to wait does not hold up those behind it
 *           (read-ahead.ts).
 * EVENTS-4  Deliveries of ordered apps are left to the owner of the queues.
 */
import type { DeliverEvent } from "../delivery/deliver-event.ts";
import type { GiveUp } from "../delivery/give-up.ts";
import type { DeliveryObserver, RegistryView } from "../delivery/ports.ts";
import type { TracePosition, Tracing } from "../delivery/tracing-ports.ts";
import type { AckFloor } from "../jetstream/ack-floor.ts";
import { ensureConsumer, eventsConsumer } from "../jetstream/consumers.ts";
import type { DeliveryStreamWriter } from "../jetstream/delivery-streams.ts";
import type { ConsumedMessage } from "../jetstream/message.ts";
import { ACK, createMessageHandler, type Decoded, type MessageEnd } from "../jetstream/message-handler.ts";
import { createPullConsumer, type PullConsumer, type PullConsumerDependencies } from "../jetstream/pull-consumer.ts";
import type { Subjects } from "../jetstream/subjects.ts";
import type { Installation } from "../model/app.ts";
import { newDelivery } from "../model/delivery.ts";
import type { Event } from "../model/event.ts";
import type { ReadEvent } from "../model/event-reader.ts";
import { createReadAhead, MAX_DIRECT_TARGETS, type ReadAheadDependencies, type ReadAheadOptions } from "./read-ahead.ts";

export interface EventsSubscriberDependencies extends PullConsumerDependencies, Omit<ReadAheadDependencies, "begin"> {
  readonly names: Subjects;
  readonly match: (event: Event) => readonly Installation[];
  readonly registry: Pick<RegistryView, "app">;
  readonly readEvent: (message: ConsumedMessage) => ReadEvent;
  /** Whether the app's delivery of the event is left to the owner of the queues (ordered/order-records.ts). */
  readonly isLeft: (app: string, eventSequence: number) => boolean;
  readonly deliverEvent: DeliverEvent;
  readonly streams: DeliveryStreamWriter;
  readonly giveUp: GiveUp;
  readonly ackFloor: AckFloor;
  readonly observer: DeliveryObserver & EventObserver;
  readonly tracing: Tracing;
}

export interface EventObserver {
  eventHandled(event: Event, deliveries: number): void;
  eventUnreadable(subject: string, problem: string): void;
}

export function createEventsSubscriber(dependencies: EventsSubscriberDependencies, options: ReadAheadOptions) {
  const { manager, names, match, registry, readEvent, isLeft, deliverEvent, streams, ackFloor, observer, tracing } = dependencies;
  const settings = eventsConsumer(names);
  /** EVENTS-1. */
  let suspectUpTo = 0;

  const ensure = async (): Promise<void> => {
    await ensureConsumer(dependencies, settings, ackFloor.startingPoint);
    suspectUpTo = (await manager.streams.info(settings.stream)).state.last_seq;
  };

  const decode = (message: ConsumedMessage): Decoded<Event> => {
    const read = readEvent(message);
    if (read.ok) return { ok: true, content: read.event };
    observer.eventUnreadable(message.subject, read.problem);
    return read;
  };

  const handle = (message: ConsumedMessage, found: Event): Promise<MessageEnd> | "later" => {
    const { sequence } = message;
    const matching = match(found);
    const installations = matching.some(({ app }) => isLeft(app, sequence))
      ? matching.filter(({ app }) => !isLeft(app, sequence))
      : matching;
    if (readAhead.postpone(message, installations)) return "later";
    observer.eventHandled(found, matching.length);
    if (installations.length === 0) return Promise.resolve(ACK);
    return deliver(message, found, installations).finally(readAhead.begun(installations));
  };

  const deliver = async (message: ConsumedMessage, found: Event, installations: readonly Installation[]): Promise<MessageEnd> => {
    const { sequence } = message;
    await tracing.process<unknown>(found, "events", message, (span) => {
      const event = inTrace(found, span);
      if (installations.length > MAX_DIRECT_TARGETS) {
        const fanOut = { event, eventSequence: sequence, targets: installations };
        return tracing.fanOut(span, event, (trace) => streams.fanOut(fanOut, message, trace));
      }
      const deliveries = installations.map(({ app, uuid }) =>
        newDelivery(event, app, uuid, sequence, registry.app(app)?.createdAt ?? null),
      );
      const mayBeDone = message.deliveries > 1 || sequence <= suspectUpTo;
      return deliverEvent(deliveries, span, message, mayBeDone);
    });
    return ACK;
  };

  const begin = createMessageHandler(dependencies, { decode, handle, appOf: () => null, onEnd: (message) => readAhead.ended(message) });
  const readAhead = createReadAhead({ ...dependencies, begin }, options);

  const loop: PullConsumer = createPullConsumer(dependencies, {
    settings,
    limit: () => loop.held() + readAhead.room(),
    window: readAhead.window,
    onMessage(message) {
      readAhead.received(message);
      begin(message);
    },
    recover: ensure,
  });

  return {
    /** @throws AppError STREAM_MISMATCH */
    async start(): Promise<void> {
      await ensure();
      loop.start();
    },
    /** Stops pulling; events in hand continue, and so do those that wait for their turn. */
    stop: () => loop.stop(),
    /** Looks again whether it may pull. */
    wake: () => loop.wake(),
    /** An app has become ordered (AHEAD-6). */
    beginPostponed: readAhead.beginPostponed,
    /** Events that are not acknowledged yet. */
    held: () => loop.held(),
  };
}

/** An event that came without a trace starts one here, which its retries continue. */
function inTrace(event: Event, { traceparent, tracestate }: TracePosition): Event {
  return event.traceparent === null ? { ...event, traceparent, tracestate } : event;
}
