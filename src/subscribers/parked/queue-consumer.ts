/**
 * Drains one parked queue through its durable consumer: attempts start in stored order, at most `maxInFlight` at once
 * over all replicas (the consumer's max_ack_pending).
 *
 * K1  A message that can't be attempted yet (circuit open, the head of an ordered queue not due) is held in memory with
 *     working() heartbeats, not given back: its order is kept. One that came back several times all the same goes to the
 *     end of its queue.
 * K2  A delivery of an ordered app is attempted with the app's hold only (queue-order.ts), which goes when the delivery is
 *     done or handed over, with the attempts that it has made. So it is when the app is no longer ordered.
 */

import type { Admission, ParkedBecause } from "../../delivery/admission.ts";
import type { Attempt } from "../../delivery/attempt.ts";
import { type Deferred, type Disposition, givenUp, type RetryDisposition, uninstalled } from "../../delivery/attempt.ts";
import type { Dispatcher } from "../../delivery/dispatcher.ts";
import type { GiveUp } from "../../delivery/give-up.ts";
import type { InFlight } from "../../delivery/in-flight.ts";
import type { Bulkhead } from "../../delivery/limits/bulkhead.ts";
import type { DestinationOf } from "../../delivery/limits/destination.ts";
import type { AttemptLog, FoundHold, Hold, Holds, ParkedQueue, RegistryView } from "../../delivery/ports.ts";
import type { SkipDelivered } from "../../delivery/skip-delivered.ts";
import type { TracePosition, Tracing } from "../../delivery/tracing-ports.ts";
import { type ConsumedMessage, cameBackWaiting, isPoison, poisonError } from "../../jetstream/message.ts";
import { AGAIN_AFTER_MS } from "../../jetstream/message-handler.ts";
import { createPullConsumer, type PullConsumerDependencies } from "../../jetstream/pull-consumer.ts";
import { messageOf } from "../../model/app-error.ts";
import type { Delivery } from "../../model/delivery.ts";
import { type DeliveryMessage, decodeDeliveryMessage } from "../../model/delivery-message.ts";
import { released } from "../ordered/order-locks.ts";
import { createQueueOrder, ORDER_GRACE_MS, ORDER_POLL_MS, type QueueOrderDependencies } from "../ordered/queue-order.ts";
import { expiredAfter, type ParkedBacklog, type ParkedDelivery } from "./backlog.ts";

export interface QueueConsumer {
  readonly queue: ParkedQueue;
  readonly maxInFlight: number;
  /** Something that the admission looks at has changed. */
  wake(): void;
  /** The app's record has. */
  appChanged(): void;
  held(): number;
  /** Milliseconds since the epoch of the last message. */
  lastMessageAt(): number;
  /** Stops pulling and gives back what is waiting; attempts in flight go on. */
  close(): Promise<void>;
}

export interface QueueConsumerDependencies extends PullConsumerDependencies {
  readonly registry: RegistryView;
  readonly admission: Admission;
  /** Whether the app's circuit keeps attempts from starting now (delivery/circuit/circuit-breakers.ts blocks). */
  readonly circuitOpen: (app: string) => boolean;
  readonly bulkhead: Bulkhead;
  readonly destinationOf: DestinationOf;
  readonly attempt: Attempt;
  readonly dispatcher: Dispatcher;
  readonly giveUp: GiveUp;
  readonly holds: Holds;
  readonly backlog: ParkedBacklog;
  readonly log: Pick<AttemptLog, "findDelivered">;
  readonly inFlight: InFlight;
  readonly skipDelivered: SkipDelivered;
  readonly tracing: Tracing;
  /** How long an attempt of the app may take. */
  readonly attemptLeaseMs: (app: string) => number;
}

export interface QueueConsumerOptions {
  readonly queue: ParkedQueue;
  readonly stream: string;
  readonly consumer: string;
  readonly subject: string;
  readonly maxInFlight: number;
  readonly maxParkedAgeMs: number;
  readonly ackWaitMs: number;
  readonly recover: () => Promise<void>;
  readonly isFlowing: QueueOrderDependencies["isFlowing"];
  /** The queue may not flow any more, or a message was settled: time to look whether the drain is still wanted. */
  readonly onIdle: () => void;
}

/** How often a message that has to wait asks again whether it may go. */
const ASK_AGAIN_MS = 1_000;
/** Doublings of the wait after a fault. */
const LONGEST_BACKOFF = 6;
/** Longer than an attempt takes by default. */
const LOOKS_AT_HOLD = 12;

export function createQueueConsumer(dependencies: QueueConsumerDependencies, options: QueueConsumerOptions): QueueConsumer {
  const {
    registry,
    admission,
    circuitOpen,
    bulkhead,
    destinationOf,
    attempt,
    dispatcher,
    giveUp,
    holds,
    backlog,
    log,
    inFlight,
    skipDelivered,
    tracing,
    attemptLeaseMs,
    clock,
    logger,
  } = dependencies;
  const { queue, stream, maxInFlight } = options;
  const share = `parked:${queue.app}:${queue.installationUuid ?? ""}`;
  const isDelivered = async (delivery: Delivery): Promise<boolean> => (await log.findDelivered(delivery)) !== null;
  const order = createQueueOrder(queue, { backlog, holds, isFlowing: options.isFlowing, isDelivered, attemptLeaseMs, clock });
  const sleepers = new Set<() => void>();
  /** How often it was woken: who was about to sleep then does not. */
  let wakes = 0;
  let closed = false;
  /** What is left of the time when the app was ordered; undefined: to be looked at. */
  let leftHold: FoundHold | null | undefined;

  /** Resolves after `delayMs`, or earlier on wake and close. */
  const pause = (delayMs: number): Promise<void> =>
    new Promise((resolve) => {
      const wake = (): void => {
        sleepers.delete(wake);
        cancel();
        resolve();
      };
      const cancel = clock.after(delayMs, wake);
      sleepers.add(wake);
    });

  const wakeAll = (): void => {
    for (const wake of [...sleepers]) wake();
  };

  const isOrdered = (): boolean => registry.app(queue.app)?.ordered === true;

  /** True when the message is settled, false when it has to be given back. */
  const handle = async (message: ConsumedMessage): Promise<boolean> => {
    const ordered = isOrdered();
    const deadLetter = async (reason: "redelivered" | "invalid", error: string): Promise<true> => {
      await giveUp.message(message, reason, error, queue.app);
      return true;
    };
    if (isPoison(message) && !(ordered && (await order.hold())?.deliveryId)) return deadLetter("redelivered", poisonError(message));
    let stored: DeliveryMessage;
    try {
      stored = decodeDeliveryMessage(Buffer.from(message.data).toString("utf8"));
    } catch (error) {
      return deadLetter("invalid", messageOf(error));
    }
    const { sequence, storedAt } = message;
    const parked: ParkedDelivery = { message, source: { stream, sequence }, storedAt, delivery: stored.delivery, dueAt: stored.dueAt };
    if (ordered) leftHold = undefined;
    if (ordered) return runOrdered(parked);
    return inFlight.alone(parked.delivery, () => run(parked, cameBackWaiting(message)));
  };

  const run = async (parked: ParkedDelivery, isTired: boolean): Promise<boolean> => {
    const { delivery, source } = parked;
    const hold = await holdLeft(delivery);
    if (hold === "closed") return false;
    if (hold?.settled.includes(source.sequence)) {
      await skip(source.sequence, hold);
      leftHold = undefined;
      return true;
    }
    if (await skipDelivered(delivery)) return true;
    if (hold?.deliveryId === delivery.id) {
      if (hold.attemptsMade > 0) await handOver(parked, hold);
      await holds.change(queue.app, hold, released);
      leftHold = undefined;
      if (hold.attemptsMade > 0 || (await skipDelivered(delivery))) return true;
    }
    if (parked.dueAt !== null && parked.dueAt > clock.now()) {
      await handOver(parked, { ...delivery, dueAt: parked.dueAt });
      return true;
    }
    for (;;) {
      if (isOrdered()) {
        leftHold = undefined;
        return runOrdered(parked);
      }
      const decision = await pass(parked);
      const next = decision === "open" ? await attemptOnce(parked, false) : decision;
      if (next === "settled") return true;
      if (next === "again") continue;
      if (isTired) {
        await park(parked, queue, "queue");
        return true;
      }
      if (next !== "wait") return false;
      await pause(ASK_AGAIN_MS);
    }
  };

  const runOrdered = async (stored: ParkedDelivery, isHead = true): Promise<boolean> => {
    const { source, storedAt } = stored;
    for (;;) {
      const pokesBefore = wakes;
      if (!isOrdered()) {
        leftHold = undefined;
        // Before its turn only an ordered app gets it.
        return isHead && run(stored, false);
      }
      const found = await order.hold();
      if (found?.settled.includes(source.sequence)) {
        if (isHead) await skip(source.sequence, found);
        return true;
      }
      const hold = found?.deliveryId === stored.delivery.id ? found : null;
      const { attemptsMade, attempts } = hold ?? stored.delivery;
      const delivery = { ...stored.delivery, attemptsMade, attempts };
      const parked = { ...stored, delivery, dueAt: hold?.dueAt || stored.dueAt };
      const done = async (): Promise<true> => {
        if (!isHead || hold !== null)
          await holds.change(queue.app, found, (current) => {
            const left = current.deliveryId === delivery.id ? released(current) : current;
            return isHead ? left : { ...left, settled: [...left.settled, source.sequence] };
          });
        return true;
      };
      if (await skipDelivered(delivery)) return done();
      const decision = await pass(parked);
      if (decision === "settled") return done();
      // Closed because its queue may not flow any more, it would keep the others of its app waiting.
      const isStopped = decision === "stopped" || (decision === "closed" && !options.isFlowing(queue));
      if (isStopped ? hold === null : decision === "closed") return false;
      if (isStopped) {
        await park(parked, queue, "ordered");
        return done();
      }
      const waitMs = Math.max(storedAt + ORDER_GRACE_MS, hold?.dueAt ?? 0) - clock.now();
      if (waitMs > 0) {
        if (wakes === pokesBefore) await pause(waitMs);
        continue;
      }
      if (hold === null) {
        const older = isHead ? await order.oldestBehind(delivery, source.sequence) : null;
        if (older !== null) {
          if (!(await runOrdered(older, false)) && isOrdered()) return false;
          order.forget(older.source.sequence);
          continue;
        }
        if (!(await order.isOlderElsewhere(delivery, found?.settled ?? [])) && (await order.claim(parked))) continue;
        await pause(ORDER_POLL_MS);
        continue;
      }
      const next = await attemptOnce(parked, true);
      if (next === "closed") return false;
      if (next === "again") continue;
      if (next === "settled") return done();
      if (next === "wait") {
        await pause(ASK_AGAIN_MS);
        continue;
      }
      const made = { attemptsMade: next.delivery.attemptsMade, attempts: next.delivery.attempts };
      const { dueAt } = next.delay;
      const after = { ...made, dueAt, busyUntil: order.busyUntil(dueAt) };
      await holds.change(queue.app, hold, (current) => (current.deliveryId === delivery.id ? { ...current, ...after } : current));
    }
  };

  /**
   * What is left of the time when the app was ordered. Waits while that can't be read, and while the delivery's own attempt of
   * then may still be under way.
   */
  const holdLeft = async ({ id }: Delivery): Promise<FoundHold | null | "closed"> => {
    for (let looks = 0; !closed; looks++) {
      try {
        if (leftHold === undefined) leftHold = await order.hold();
        if (leftHold?.deliveryId !== id || leftHold.attemptsMade > 0 || looks >= LOOKS_AT_HOLD) return leftHold;
      } catch (error) {
        if (looks === 0) logger.warn({ app: queue.app, error: messageOf(error) }, "the hold of an ordered queue can't be read yet");
      }
      await pause(ASK_AGAIN_MS);
      leftHold = undefined;
    }
    return "closed";
  };

  /** It was settled before its turn, which has come. */
  const skip = (sequence: number, found: FoundHold): Promise<void> =>
    holds.change(queue.app, found, (current) => ({ ...current, settled: current.settled.filter((one) => one !== sequence) }));

  /** To the retries stream, with the attempts made and the time when the next one is due. */
  const handOver = (
    parked: ParkedDelivery,
    { attemptsMade, attempts, dueAt }: Pick<Hold, "attemptsMade" | "attempts" | "dueAt">,
  ): Promise<void> => {
    const delivery = { ...parked.delivery, attemptsMade, attempts };
    // It may be the receiver who asked for that time.
    const delay = { dueAt, delayMs: Math.max(0, dueAt - clock.now()), notBefore: true };
    return traced(parked, (span) => dispatcher.apply({ kind: "retry", delivery, record: null, delay }, parked.source, span));
  };

  /** Stores it again; what it waits for goes with it. */
  const park = (parked: ParkedDelivery, wanted: ParkedQueue, why: ParkedBecause): Promise<void> =>
    traced(parked, (span) => dispatcher.park(parked.delivery, wanted, why, parked.source, span, parked.dueAt));

  /**
   * What stands between a delivery and its attempt. `settled`: it went elsewhere. `stopped`: its queue may not flow any
   * more. `closed`: the drain ends.
   */
  const pass = async (parked: ParkedDelivery): Promise<"open" | "settled" | "stopped" | "closed"> => {
    if (closed) return "closed";
    const { delivery, source } = parked;
    const parkedForMs = clock.now() - (delivery.firstParkedAt ?? clock.now());
    if (parkedForMs > options.maxParkedAgeMs) {
      const disposition = givenUp(delivery, "expired", expiredAfter(parkedForMs));
      await traced(parked, (span) => dispatcher.apply(disposition, source, span));
      return "settled";
    }
    const decision = admission.parked(delivery, queue);
    if (decision.kind === "open") return "open";
    if (decision.kind === "uninstalled") {
      await traced(parked, (span) => dispatcher.apply(uninstalled(delivery), source, span));
      return "settled";
    }
    const { queue: wanted, why } = decision;
    if (wanted.installationUuid !== queue.installationUuid) {
      await park(parked, wanted, why);
      return "settled";
    }
    options.onIdle();
    return "stopped";
  };

  /**
   * @param ordered a retry is left to the caller; everything else is settled here. @returns `wait`: the circuit is open.
   * `again`: what stands between may be another by now.
   */
  const attemptOnce = async (
    parked: ParkedDelivery,
    ordered: boolean,
  ): Promise<RetryDisposition | "settled" | "closed" | "wait" | "again"> => {
    const { delivery, source } = parked;
    if (circuitOpen(queue.app)) return "wait";
    const suspensions = bulkhead.suspensions();
    const destination = destinationOf(delivery.installationUuid);
    if ((await bulkhead.enterWhenFree(share, destination)) === "closed") return "closed";
    // The wait for a place may have been long enough for a person to stop the installation, or to change the app.
    if (closed || isOrdered() !== ordered || admission.parked(delivery, queue).kind !== "open") {
      bulkhead.leave(share, destination);
      return "again";
    }
    return traced(parked, async (span) => {
      let disposition: Disposition | Deferred;
      try {
        // While NATS was away another replica may have got the message, and its queue may have been stopped.
        if (bulkhead.suspensions() !== suspensions) return (await skipDelivered(delivery)) ? "settled" : "wait";
        disposition = await attempt(delivery, span);
      } finally {
        bulkhead.leave(share, destination);
      }
      if (disposition.kind === "deferred") return "wait";
      if (disposition.kind === "retry" && ordered && isOrdered()) return disposition;
      await dispatcher.apply(disposition, source, span);
      return "settled";
    });
  };

  const traced = <T>({ message, delivery }: ParkedDelivery, work: (span: TracePosition) => Promise<T>): Promise<T> =>
    tracing.process(delivery.event, "parked", message, (span) => tracing.deliver(span, delivery, work));

  const loop = createPullConsumer(dependencies, {
    stream,
    consumer: options.consumer,
    workQueueSubject: options.subject,
    limit: () => maxInFlight,
    onMessage: (message) => {
      handle(message).then(
        (settled) => {
          if (settled) message.ack();
          else message.nak(closed ? 1 : AGAIN_AFTER_MS);
          options.onIdle();
        },
        (error: unknown) => {
          logger.error(
            { subject: message.subject, sequence: message.sequence, error: messageOf(error) },
            "parked delivery will be handled again",
          );
          // A fault that is not the message's may last: what nobody could look at is not to wear out by it.
          message.nak(AGAIN_AFTER_MS * 2 ** Math.min(message.deliveries - 1, LONGEST_BACKOFF));
        },
      );
    },
    recover: options.recover,
    workingEveryMs: options.ackWaitMs / 3,
  });
  loop.start();

  return {
    queue,
    maxInFlight,
    wake() {
      wakes++;
      wakeAll();
      loop.wake();
    },
    appChanged() {
      leftHold = undefined;
    },
    held: () => loop.held(),
    lastMessageAt: () => loop.lastMessageAt(),
    async close() {
      closed = true;
      wakes++;
      wakeAll();
      await loop.stop();
    },
  };
}
