/**
 * The events stream: reads each event, finds the installations that want it, and delivers it to each of them straight from
 * the message. The message is acknowledged when every delivery is done or stored.
 *
 * EVENTS-1  Events that were stored before this replica began, or lost its connection, may have been delivered, whatever their
 *           redelivery count says: a server that was killed forgets acks, and a recreated consumer starts from a saved floor.
 * EVENTS-2  An event for very many installations is stored in batches first (model/fan-out-batch.ts), and never held as a whole.
 * EVENTS-3  In-flight work is also capped by deliveries. Over the cap, an event with many targets waits for its turn, as it came, while
 *           those with few proceed.
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

export interface EventsSubscriber {
  /** @throws AppError STREAM_MISMATCH */
  start(): Promise<void>;
  /** Stops pulling; events in hand continue, and so do those that wait for their turn. */
  stop(): Promise<void>;
  /** Looks again whether it may pull. */
  wake(): void;
  /** Events that are not acknowledged yet. */
  held(): number;
}

export interface EventsSubscriberDependencies extends PullConsumerDependencies {
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

export interface EventsSubscriberOptions {
  /** Events held by this process at once. */
  readonly maxHeld: number;
}

/** An event for more installations than this is stored in parts. */
const MAX_DIRECT_TARGETS = 500;
/** Deliveries under way for each event that may be held (EVENTS-3); one that waits to be stored takes about 5 KB. */
const DELIVERIES_PER_HELD = 32;
/** An event with more targets waits for its turn. */
const FEW_TARGETS = 16;

export function createEventsSubscriber(dependencies: EventsSubscriberDependencies, options: EventsSubscriberOptions): EventsSubscriber {
  const { manager, names, match, registry, readEvent, isLeft, deliverEvent, streams, ackFloor, observer, tracing } = dependencies;
  const settings = eventsConsumer(names);
  const maxUnderWay = options.maxHeld * DELIVERIES_PER_HELD;
  /** Deliveries; an event that is stored in parts counts as the largest that is not. */
  let underWay = 0;
  /** EVENTS-3. */
  const postponed: ConsumedMessage[] = [];
  /** Postponed events whose turn has come. */
  const turns = new WeakSet<ConsumedMessage>();
  /** EVENTS-1. */
  let suspectUpTo = 0;

  const ensure = async (): Promise<void> => {
    await ensureConsumer(manager, settings, ackFloor.startingPoint);
    suspectUpTo = (await manager.streams.info(settings.stream)).state.last_seq;
  };

  const mayBegin = (installations: readonly Installation[]): boolean =>
    (postponed.length === 0 && underWay < maxUnderWay) || installations.length <= FEW_TARGETS;

  const beginPostponed = (): void => {
    while (underWay < maxUnderWay) {
      const message = postponed.shift();
      if (message === undefined) return;
      turns.add(message);
      onMessage(message);
    }
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
    if (!turns.has(message) && !mayBegin(installations)) {
      postponed.push(message);
      return "later";
    }
    observer.eventHandled(found, matching.length);
    if (installations.length === 0) return Promise.resolve(ACK);
    const count = Math.min(installations.length, MAX_DIRECT_TARGETS);
    underWay += count;
    return deliver(message, found, installations).finally(() => {
      underWay -= count;
      if (postponed.length > 0) beginPostponed();
    });
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

  const onMessage = createMessageHandler(dependencies, { decode, handle, appOf: () => null });

  const loop: PullConsumer = createPullConsumer(dependencies, { settings, limit: () => options.maxHeld, onMessage, recover: ensure });

  return {
    async start() {
      await ensure();
      loop.start();
    },
    stop: () => loop.stop(),
    wake: () => loop.wake(),
    held: () => loop.held(),
  };
}

/** An event that came without a trace starts one here, which its retries continue. */
function inTrace(event: Event, { traceparent, tracestate }: TracePosition): Event {
  return event.traceparent === null ? { ...event, traceparent, tracestate } : event;
}
