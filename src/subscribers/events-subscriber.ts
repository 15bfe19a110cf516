/**
 * The events stream: reads each event, finds the installations that want it, and delivers it to each of them straight from
 * the message. The message is acknowledged when every delivery is done or stored.
 *
 * V1  What was stored before this replica began, or lost its connection, may have been delivered, whatever its redelivery
 *     count says: a server that was killed forgets acks, and a consumer made anew starts from a saved floor.
 * V2  An event for very many is stored in parts first (model/fan-out-batch.ts), so that it is never held as a whole.
 * V3  What is under way is bounded by deliveries, too: while there are too many, an event that adds many waits for its turn,
 *     as it came. Those for few go on; not for an ordered app, whose events are begun in the order in which they came.
 */
import { AckPolicy, nanos } from "nats";
import type { DeliverEvent } from "../delivery/deliver-event.ts";
import type { GiveUp } from "../delivery/give-up.ts";
import type { DeliveryObserver, MessageRef, RegistryView } from "../delivery/ports.ts";
import type { TracePosition, Tracing } from "../delivery/tracing-ports.ts";
import type { AckFloor } from "../jetstream/ack-floor.ts";
import type { DeliveryStreamWriter } from "../jetstream/delivery-streams.ts";
import { type ConsumedMessage, isPoison, poisonError } from "../jetstream/message.ts";
import type { CompleteMessage } from "../jetstream/message-handler.ts";
import { createPullConsumer, type PullConsumer, type PullConsumerDependencies } from "../jetstream/pull-consumer.ts";
import { ensureConsumer } from "../jetstream/streams.ts";
import type { Subjects } from "../jetstream/subjects.ts";
import type { Installation } from "../model/app.ts";
import { newDelivery } from "../model/delivery.ts";
import type { Event } from "../model/event.ts";
import { type EventLimits, type ReadEvent, readEvent } from "../model/event-reader.ts";

export interface EventsSubscriber {
  /** @throws AppError STREAM_MISMATCH */
  start(): Promise<void>;
  /** Stops pulling; events in hand go on, those that wait for their turn, too. */
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
  readonly deliverEvent: DeliverEvent;
  readonly streams: DeliveryStreamWriter;
  readonly giveUp: GiveUp;
  readonly ackFloor: AckFloor;
  readonly observer: DeliveryObserver & EventObserver;
  readonly tracing: Tracing;
  readonly settle: CompleteMessage;
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
/** Deliveries under way for each event that may be held (V3); one that waits to be stored takes about 5 KB. */
const DELIVERIES_PER_HELD = 32;
/** For how many an event may be that does not wait. */
const FEW_TARGETS = 16;

export function createEventsSubscriber(dependencies: EventsSubscriberDependencies, options: EventsSubscriberOptions): EventsSubscriber {
  const { manager, names, match, registry, deliverEvent, streams, giveUp, ackFloor, observer, tracing, settle } = dependencies;
  const stream = names.streams.events;
  const maxUnderWay = options.maxHeld * DELIVERIES_PER_HELD;
  /** Deliveries; an event that is stored in parts counts as the largest that is not. */
  let underWay = 0;
  /** V3. */
  const postponed: ConsumedMessage[] = [];
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

  const read = (message: ConsumedMessage): ReadEvent => {
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

  const mayBegin = (installations: readonly Installation[]): boolean =>
    (postponed.length === 0 && underWay < maxUnderWay) ||
    (installations.length <= FEW_TARGETS && !installations.some(({ app }) => registry.app(app)?.ordered === true));

  const beginPostponed = (): void => {
    while (underWay < maxUnderWay) {
      const message = postponed.shift();
      if (message === undefined) return;
      try {
        handle(message, true);
      } catch (fault) {
        settle(message, Promise.reject(fault));
      }
    }
  };

  const handle = (message: ConsumedMessage, isItsTurn = false): void => {
    if (isPoison(message)) return settle(message, giveUp.message(message, "redelivered", poisonError(message), null));
    const found = read(message);
    if (!found.ok) {
      observer.eventUnreadable(message.subject, found.problem);
      return settle(message, giveUp.message(message, "invalid", found.problem, null));
    }
    const installations = match(found.event);
    if (!isItsTurn && !mayBegin(installations)) return void postponed.push(message);
    observer.eventHandled(found.event, installations.length);
    if (installations.length === 0) return message.ack();

    const { sequence } = message;
    const source: MessageRef = { stream, sequence };
    const work = tracing.process<unknown>(found.event, "events", message, (span) => {
      const event = inTrace(found.event, span);
      if (installations.length > MAX_DIRECT_TARGETS) {
        const fanOut = { event, eventSequence: sequence, targets: installations };
        return tracing.fanOut(span, event, (trace) => streams.fanOut(fanOut, source, trace));
      }
      const deliveries = installations.map(({ app, uuid }) =>
        newDelivery(event, app, uuid, sequence, registry.app(app)?.createdAt ?? null),
      );
      const mayBeDone = message.deliveries > 1 || sequence <= suspectUpTo;
      return deliverEvent(deliveries, span, source, mayBeDone);
    });
    const count = Math.min(installations.length, MAX_DIRECT_TARGETS);
    underWay += count;
    settle(message, work, () => {
      underWay -= count;
      if (postponed.length > 0) beginPostponed();
    });
  };

  const loop: PullConsumer = createPullConsumer(dependencies, {
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
    wake: () => loop.wake(),
    held: () => loop.held(),
  };
}

/** An event that came without a trace starts one here, which its retries go on with. */
function inTrace(event: Event, { traceparent, tracestate }: TracePosition): Event {
  return event.traceparent === null ? { ...event, traceparent, tracestate } : event;
}
