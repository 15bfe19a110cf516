/**
 * Reads the events of ordered apps in the order of the stream, as the owner of the queues, through a consumer of its own. An event is
 * acknowledged when each of its deliveries is done or stored.
 *
 * ORDER-8  An event is taken only when every one before it has been read, or has left the stream. Those that were handed out and got lost
 *          on their way would come back behind younger ones: the consumer is created again from the first of them.
 *
 * An event that kills the process while it is read becomes a dead letter as it came (parked/poison-limit.ts): suspects are read one at a
 * time, and their hand-outs are counted.
 *
 * ORDER-3  `floor` is never above an event that is not done. The next owner reads on from there, and finds by the dedup keys what was
 *          done above it.
 */
import { DeliverPolicy, type JetStreamManager } from "nats";
import type { GiveUp } from "../../delivery/give-up.ts";
import type { HandOut, RegistryView } from "../../delivery/ports.ts";
import { createRecentDeliveries } from "../../delivery/recent-deliveries.ts";
import { type ConsumerSettings, ensureConsumer, orderConsumer } from "../../jetstream/consumers.ts";
import type { HeldBytes } from "../../jetstream/held-bytes.ts";
import type { ConsumedMessage } from "../../jetstream/message.ts";
import { endFailed } from "../../jetstream/message-handler.ts";
import { unlessNotFound } from "../../jetstream/nats-errors.ts";
import { createPullConsumer, type PullConsumer, type PullConsumerDependencies } from "../../jetstream/pull-consumer.ts";
import { nextMessage } from "../../jetstream/stored-message.ts";
import type { Subjects } from "../../jetstream/subjects.ts";
import type { Installation } from "../../model/app.ts";
import { type Delivery, newDelivery } from "../../model/delivery.ts";
import type { Event } from "../../model/event.ts";
import type { ReadEvent } from "../../model/event-reader.ts";
import type { Logger } from "../../model/logger.ts";
import type { PoisonLimit } from "../parked/poison-limit.ts";

/** An event whose deliveries are not all done. */
export interface HeldEvent {
  readonly message: ConsumedMessage;
  /** One of them is done or stored. */
  done(): void;
}

export type OrderReader = ReturnType<typeof createOrderReader>;

export interface OrderReaderDependencies extends PullConsumerDependencies {
  readonly names: Subjects;
  readonly registry: Pick<RegistryView, "app">;
  readonly readEvent: (message: ConsumedMessage) => ReadEvent;
  /** Without limits. */
  readonly readAnyEvent: (message: ConsumedMessage) => ReadEvent;
  readonly match: (event: Event) => readonly Installation[];
  /** The term's lease runs. Nothing is read after it: an event that nobody takes would count as done. */
  readonly isHeld: () => boolean;
  /** Whether the app's deliveries of the event are the owner's. */
  readonly isTaken: (app: string, eventSequence: number) => boolean;
  /** @param mayBeDone an earlier owner may have done it */
  readonly accept: (delivery: Delivery, event: HeldEvent, mayBeDone: boolean) => void;
  readonly poisonLimit: Pick<PoisonLimit, "reading">;
  readonly giveUp: Pick<GiveUp, "message">;
  readonly heldBytes: HeldBytes;
}

/** Events held at once; deliveries that wait are stored after a moment, which ends their events. */
const MAX_HELD = 2_048;
/** Events asked for at once: they may be larger than those before. */
const MAX_ASKED = 128;
/** Events that stay missing although they were read again this often are passed over. */
const MAX_RESTARTS = 5;
/** The events' own consumer counts by event, too: what is dropped here must not hide a crash there. */
const NO_GIVE_BACKS = { note() {}, mayGiveBack: () => true, count: async () => 0 };

export function createOrderReader(dependencies: OrderReaderDependencies, { term, from }: { readonly term: string; readonly from: number }) {
  const { manager, names, registry, isHeld, accept, poisonLimit, giveUp, logger } = dependencies;
  const stream = names.streams.events;
  const settings = orderConsumer(names, term);
  const takenOf = createTakenOf(dependencies);
  const events = createHeldEvents();
  const recent = createRecentDeliveries();
  let readTo = from - 1;
  let suspectUpTo = 0;
  let stopped = false;
  const restarts = createRestarts(manager, settings, logger);
  const series = createSeries();
  const isReading = (): boolean => !stopped && isHeld();

  const floor = (): number => (events.first() ?? readTo + 1) - 1;

  const ensure = async (): Promise<void> => {
    suspectUpTo = (await manager.streams.info(stream)).state.last_seq;
    await ensureConsumer(dependencies, settings, async () => ({ deliver_policy: DeliverPolicy.StartSequence, opt_start_seq: floor() + 1 }));
    restarts.done();
  };

  /** @returns why the event has to go to dead letters; null: it does not, and has been read */
  const read = (message: ConsumedMessage): string | null => {
    const { sequence } = message;
    const { event, installations, problem } = takenOf(message);
    if (problem !== null) return problem;
    const mayBeDone = message.deliveries > 1 || sequence <= suspectUpTo || sequence <= readTo;
    readTo = Math.max(readTo, sequence);
    if (event !== null && installations.length > 0) {
      const heldEvent = events.hold(message, installations.length);
      for (const { app, uuid } of installations) {
        const delivery = newDelivery(event, app, uuid, sequence, registry.app(app)?.createdAt ?? null);
        accept(delivery, heldEvent, recent.isAgain(delivery) || mayBeDone);
      }
    } else message.ack();
    return null;
  };

  const isNext = ({ sequence }: ConsumedMessage): boolean => sequence <= readTo + 1;

  const readInTurn = async (message: ConsumedMessage, handOut: HandOut | null): Promise<void> => {
    if (!isNext(message) && isReading()) await restarts.restartIfMissing(readTo + 1, message.sequence);
    const isWanted = (): boolean => isReading() && (!restarts.isUnderWay() || isNext(message));
    const poison = isWanted() ? ((await handOut?.begin()) ?? null) : null;
    if (!isWanted()) {
      handOut?.giveBack();
      return message.drop();
    }
    const problem = poison ?? read(message);
    if (problem === null) return;
    // The same message as that of the events' own consumer, if it can't read the event either.
    await giveUp.message(message, poison === null ? "invalid" : "redelivered", problem, null);
    readTo = Math.max(readTo, message.sequence);
    message.ack();
  };

  /** In the order in which they came: what comes behind one that takes a while waits for it. */
  const onMessage = (message: ConsumedMessage): void => {
    if (!isReading()) return message.drop();
    const handOut = poisonLimit.reading({ stream, sequence: message.sequence });
    if (handOut === null && isNext(message) && series.isEmpty() && read(message) === null) return;
    series.add(() =>
      readInTurn(message, handOut)
        .catch((error: unknown) => endFailed(message, error, logger))
        .finally(() => handOut?.end()),
    );
  };

  const loop: PullConsumer = createPullConsumer(
    { ...dependencies, giveBacks: NO_GIVE_BACKS },
    {
      settings,
      limit: () => (isReading() ? Math.min(MAX_HELD, loop.held() + MAX_ASKED) : 0),
      window: () => MAX_ASKED,
      heldBytes: { of: dependencies.heldBytes, always: () => 1 },
      onMessage,
      recover: ensure,
    },
  );

  return {
    async start(): Promise<void> {
      await removeOthers(manager, names, settings.consumer);
      await ensure();
      loop.start();
    },
    /** Stops reading and lets go of what is held: the next owner reads it. */
    async stop(): Promise<void> {
      stopped = true;
      await loop.stop();
      events.drop();
    },
    /** Every event up to it is done. */
    floor,
    readTo: () => readTo,
    /** Whether all events before it have been read, or have left the stream. */
    isReadBefore: createReadBefore(manager, stream, () => readTo),
  };
}

/** The owner's part of an event. */
interface Taken {
  /** Null: it can't be read. */
  readonly event: Event | null;
  readonly installations: readonly Installation[];
  /** Why it can't be read although it is the owner's. */
  readonly problem: string | null;
}

function createTakenOf({ readEvent, readAnyEvent, match, isTaken }: OrderReaderDependencies): (message: ConsumedMessage) => Taken {
  const installationsOf = (event: Event, sequence: number) => match(event).filter(({ app }) => isTaken(app, sequence));
  return (message) => {
    const found = readEvent(message);
    if (found.ok) return { event: found.event, installations: installationsOf(found.event, message.sequence), problem: null };
    // The events' own consumer may have left it to the owner under other limits, and then knows nothing more of it.
    const accepted = readAnyEvent(message);
    const isOwners = accepted.ok && installationsOf(accepted.event, message.sequence).length > 0;
    return { event: null, installations: [], problem: isOwners ? found.problem : null };
  };
}

function createReadBefore(manager: JetStreamManager, stream: string, readTo: () => number) {
  /** All that ask at the same time share a look at the stream. */
  let looking: Promise<number | null> | null = null;
  return async (sequence: number): Promise<boolean> => {
    if (readTo() >= sequence - 1) return true;
    looking ??= firstBetween(manager, stream, readTo(), Number.POSITIVE_INFINITY).finally(() => {
      looking = null;
    });
    const unread = await looking;
    if (unread !== null && unread > readTo() && unread < sequence) return false;
    // That look may be older than the question, and events may have come since.
    return readTo() >= sequence - 1 || (await firstBetween(manager, stream, readTo(), sequence)) === null;
  };
}

/** ORDER-8. */
function createRestarts(manager: JetStreamManager, { stream, consumer }: ConsumerSettings, logger: Logger) {
  /** The consumer was deleted, to be created again. */
  let isUnderWay = false;
  let missing = { sequence: 0, restarts: 0 };
  return {
    isUnderWay: () => isUnderWay,
    done(): void {
      isUnderWay = false;
    },
    /** Restarts if the stream has an event from `wanted` on before the one that came. */
    async restartIfMissing(wanted: number, came: number): Promise<void> {
      if (isUnderWay) return;
      const first = await firstBetween(manager, stream, wanted - 1, came);
      if (first === null) return;
      const fields = { stream, consumer, from: first, to: came - 1 };
      missing = { sequence: first, restarts: missing.sequence === first ? missing.restarts + 1 : 1 };
      if (missing.restarts > MAX_RESTARTS) return logger.error(fields, "events are in the stream and don't arrive: they are passed over");
      logger.warn(fields, "events got lost on their way and are read again");
      isUnderWay = true;
      try {
        await unlessNotFound(manager.consumers.delete(stream, consumer));
      } catch (error) {
        isUnderWay = false;
        throw error;
      }
    },
  };
}

/** The first sequence after one and before another that the stream has; null: none. */
async function firstBetween(manager: JetStreamManager, stream: string, after: number, before: number): Promise<number | null> {
  const first = await nextMessage(manager, stream, ">", after + 1);
  return first === null || first.seq >= before ? null : first.seq;
}

function createHeldEvents() {
  /** In order of their reading; those that are done leave from the front, their contents before. */
  let open: Array<{ readonly sequence: number; message: ConsumedMessage | null; deliveriesLeft: number }> = [];
  return {
    /** The sequence of the first that is not done; null: all are. */
    first(): number | null {
      const at = open.findIndex(({ message }) => message !== null);
      open = at === -1 ? [] : open.slice(at);
      return open[0]?.sequence ?? null;
    },
    hold(message: ConsumedMessage, deliveries: number): HeldEvent {
      const event: (typeof open)[number] = { sequence: message.sequence, message, deliveriesLeft: deliveries };
      open.push(event);
      return {
        message,
        done() {
          event.deliveriesLeft--;
          if (event.deliveriesLeft > 0) return;
          event.message = null;
          message.ack();
        },
      };
    },
    drop(): void {
      for (const { message } of open) message?.drop();
    },
  };
}

/** Runs one work after the other. They don't reject. */
function createSeries() {
  let last = Promise.resolve();
  let size = 0;
  return {
    isEmpty: () => size === 0,
    add(work: () => Promise<void>): void {
      size++;
      last = last.then(work).finally(() => {
        size--;
      });
    },
  };
}

/** Those of earlier owners: a replica that does not know yet that it is none any more reads nothing from now on. */
async function removeOthers(manager: JetStreamManager, names: Subjects, own: string): Promise<void> {
  for await (const { name } of manager.consumers.list(names.streams.events)) {
    if (name !== own && name.startsWith(names.orderConsumer(""))) {
      await unlessNotFound(manager.consumers.delete(names.streams.events, name));
    }
  }
}
