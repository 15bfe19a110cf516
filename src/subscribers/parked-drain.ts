/**
 * Drains one parked queue through its durable consumer: attempts start in stored order, at most `maxInFlight` at once
 * over all replicas (the consumer's max_ack_pending).
 *
 * K1  A message that can't be attempted yet (circuit open, the head of an ordered queue not due) is held in memory with
 *     working() heartbeats, not given back: its redelivery count stays a count of crashes, and its order is kept.
 * K2  The head of an ordered queue writes its hold before it waits; the hold goes when the head is done or handed over.
 * K3  An ordered app is attempted from its own queue only, whose consumer hands out one message at a time over all
 *     replicas. What waited for an installation of it moves there when the installation is mended, and what is younger than
 *     something that still waits for its installation goes behind it.
 */
import type { Attempt } from "../delivery/attempt.ts";
import { givenUp, uninstalled, type Verdict } from "../delivery/attempt.ts";
import type { Bulkhead } from "../delivery/bulkhead.ts";
import type { Dispatcher } from "../delivery/dispatcher.ts";
import type { Gate } from "../delivery/gate.ts";
import type { AttemptLog, DeliveryObserver, Holds, LaneSource, ParkedQueue, RegistryView, Tracing } from "../delivery/ports.ts";
import { messageOf } from "../model/app-error.ts";
import { type Delivery, markOf } from "../model/delivery.ts";
import { decodeLaneMessage } from "../model/lane-message.ts";
import type { LaneWriter } from "./lanes.ts";
import { expiredAfter, type ParkedBacklog } from "./parked-backlog.ts";
import { createPullLoop, type PullLoopDependencies } from "./pull-loop.ts";
import { isWornOut, type PulledMessage, wornOut } from "./pulled-message.ts";
import { AGAIN_AFTER_MS } from "./settle.ts";

export interface ParkedDrain {
  readonly queue: ParkedQueue;
  readonly maxInFlight: number;
  /** Something that the gate looks at has changed. */
  poke(): void;
  held(): number;
  /** Milliseconds since the epoch of the last message. */
  lastMessageAt(): number;
  /** Stops pulling and gives back what is waiting; attempts in flight go on. */
  close(): Promise<void>;
}

export interface ParkedDrainDependencies extends PullLoopDependencies {
  readonly registry: RegistryView;
  readonly gate: Gate;
  readonly bulkhead: Bulkhead;
  readonly attempt: Attempt;
  readonly dispatcher: Dispatcher;
  readonly lanes: LaneWriter;
  readonly holds: Holds;
  readonly oldestParked: ParkedBacklog["oldest"];
  readonly log: AttemptLog;
  readonly observer: DeliveryObserver;
  readonly tracing: Tracing;
}

export interface ParkedDrainOptions {
  readonly queue: ParkedQueue;
  readonly stream: string;
  readonly consumer: string;
  readonly subject: string;
  readonly maxInFlight: number;
  readonly maxParkedAgeMs: number;
  readonly ackWaitMs: number;
  readonly recover: () => Promise<void>;
  /** The queue may not flow any more, or a message was settled: time to look whether the drain is still wanted. */
  readonly onIdle: () => void;
}

/** How often a message that has to wait asks again whether it may go. */
const ASK_AGAIN_MS = 1_000;

export function createParkedDrain(dependencies: ParkedDrainDependencies, options: ParkedDrainOptions): ParkedDrain {
  const { registry, gate, bulkhead, attempt, dispatcher, lanes, holds, oldestParked, log, observer, tracing, clock, logger } = dependencies;
  const { queue, stream, maxInFlight } = options;
  const share = `parked:${queue.app}:${queue.installationUuid ?? ""}`;
  const sleepers = new Set<() => void>();
  let closed = false;

  /** Resolves after `delayMs`, or earlier on poke and close. */
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
  const handle = async (message: PulledMessage): Promise<boolean> => {
    const source: LaneSource = { stream, sequence: message.sequence };
    const deadLetter = async (reason: "redelivered" | "invalid", error: string): Promise<true> => {
      await lanes.deadLetterRaw(message, reason, error, queue.app);
      return true;
    };
    const ordered = isOrdered();
    if (!ordered && isWornOut(message)) return deadLetter("redelivered", wornOut(message));
    let delivery: Delivery;
    try {
      delivery = decodeLaneMessage(Buffer.from(message.data).toString("utf8")).delivery;
    } catch (error) {
      return deadLetter("invalid", messageOf(error));
    }
    const hold = ordered ? await holds.read(queue.app) : null;
    const held = hold?.deliveryId === delivery.id ? hold : null;
    if (held !== null) delivery = { ...delivery, attemptsMade: held.attemptsMade, attempts: held.attempts };
    else if (isWornOut(message)) return deadLetter("redelivered", wornOut(message));
    if (await log.wasDelivered(delivery.app, markOf(delivery))) {
      observer.skipped(delivery);
      if (held !== null) await holds.clear(queue.app);
      return true;
    }
    if (ordered && held === null && (await isBehind(delivery))) {
      await dispatcher.park(delivery, { app: queue.app, installationUuid: delivery.installationUuid }, "ordered", source);
      return true;
    }
    return run(delivery, held?.dueAt ?? 0, held !== null, source);
  };

  /** Whether something older waits for the same installation (K3). */
  const isBehind = async ({ installationUuid, eventSequence }: Delivery): Promise<boolean> => {
    if (queue.installationUuid !== null || eventSequence === null) return false;
    const oldest = (await oldestParked({ app: queue.app, installationUuid }))?.delivery.eventSequence ?? null;
    return oldest !== null && oldest < eventSequence;
  };

  const run = async (first: Delivery, firstDueAt: number, wasHeld: boolean, source: LaneSource): Promise<boolean> => {
    let delivery = first;
    let dueAt = firstDueAt;
    let isHeld = wasHeld;
    const done = async (): Promise<true> => {
      if (isHeld) await holds.clear(queue.app);
      return true;
    };
    for (;;) {
      if (closed) return false;
      const parkedForMs = clock.now() - (delivery.firstParkedAt ?? clock.now());
      if (parkedForMs > options.maxParkedAgeMs) {
        await dispatcher.settle(givenUp(delivery, "expired", expiredAfter(parkedForMs)), source);
        return done();
      }
      const passage = gate.parked(delivery, queue);
      if (passage.kind === "uninstalled") {
        await dispatcher.settle(uninstalled(delivery), source);
        return done();
      }
      if (passage.kind === "park" && passage.queue.installationUuid !== queue.installationUuid) {
        await dispatcher.park(delivery, passage.queue, passage.why, source);
        return done();
      }
      if (passage.kind === "park" && passage.why !== "circuit") {
        options.onIdle();
        return false;
      }
      const waitMs = passage.kind === "park" ? ASK_AGAIN_MS : dueAt - clock.now();
      if (waitMs > 0) {
        await pause(waitMs);
        continue;
      }
      const verdict = await attemptOnce(delivery);
      if (verdict === "closed") return false;
      if (verdict === "done elsewhere") return done();
      if (verdict.kind !== "retry" || !isOrdered()) {
        await dispatcher.settle(verdict, source);
        return done();
      }
      ({ delivery } = verdict);
      ({ dueAt } = verdict.delay);
      await holds.write(queue.app, { deliveryId: delivery.id, attemptsMade: delivery.attemptsMade, attempts: delivery.attempts, dueAt });
      isHeld = true;
    }
  };

  const attemptOnce = async (delivery: Delivery): Promise<Verdict | "closed" | "done elsewhere"> => {
    const suspensions = bulkhead.suspensions();
    if ((await bulkhead.enter(share, Number.POSITIVE_INFINITY)) !== "entered") return "closed";
    const span = tracing.process(delivery.event, "parked");
    try {
      // While NATS was away another replica may have got the message.
      const wasAway = bulkhead.suspensions() !== suspensions;
      if (wasAway && (await log.wasDelivered(delivery.app, markOf(delivery)))) return "done elsewhere";
      return await attempt(delivery, span);
    } finally {
      span.end();
      bulkhead.leave(share);
    }
  };

  const loop = createPullLoop(dependencies, {
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
          message.nak(AGAIN_AFTER_MS);
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
    poke() {
      wakeAll();
      loop.poke();
    },
    held: () => loop.held(),
    lastMessageAt: () => loop.lastMessageAt(),
    async close() {
      closed = true;
      wakeAll();
      await loop.stop();
    },
  };
}
