/**
 * Sends what is parked for an installation to dead letters, because a person says so.
 *
 * D1  Deliveries are taken through a consumer that is there for the discard. The owner of the queues says what it is attempting at the
 *     moment: that ends as it ends, and what is left of it comes here.
 * D2  What was delivered before is removed, and is no dead letter.
 * D3  Letters are stored and deliveries removed in the order of the queue, a bounded number at a time.
 * D4  It ends as soon as it is not wanted any more, or dead letters can't be stored. What is in hand and has not begun is given back once, at the end.
 */
import type { ConsumerInfo } from "nats";
import type { GiveUp } from "../delivery/give-up.ts";
import type { ParkedQueue } from "../delivery/ports.ts";
import type { SkipDelivered } from "../delivery/skip-delivered.ts";
import { type ConsumerSettings, ensureConsumer, parkedConsumer } from "../jetstream/consumers.ts";
import type { ConsumedMessage } from "../jetstream/message.ts";
import { AGAIN_AFTER_MS } from "../jetstream/message-handler.ts";
import { unlessNotFound } from "../jetstream/nats-errors.ts";
import { orUnreachable } from "../jetstream/or-unreachable.ts";
import { createPullConsumer, type PullConsumerDependencies } from "../jetstream/pull-consumer.ts";
import type { Subjects } from "../jetstream/subjects.ts";
import { AppError, messageOf } from "../model/app-error.ts";
import type { Delivery } from "../model/delivery.ts";
import { decodeDeliveryMessage } from "../model/delivery-message.ts";
import { sleep } from "../model/periodic.ts";
import type { Backlog } from "../subscribers/parked/backlog.ts";

export interface Discarded {
  readonly discarded: number;
  /** Being attempted when it was not waited for any longer. */
  readonly inFlight: number;
}

/** Takes all that was parked before the call. @param isWanted asked all the time. @throws AppError NATS_UNREACHABLE, STREAM_REFUSED */
export type DiscardBacklog = (queue: ParkedQueue, isWanted: () => boolean) => Promise<Discarded>;

export interface DiscardBacklogDependencies extends PullConsumerDependencies {
  readonly names: Subjects;
  readonly giveUp: GiveUp;
  readonly skipDelivered: SkipDelivered;
  readonly backlog: Pick<Backlog, "after">;
  /** Sequences in the parked stream that are being attempted. */
  readonly inFlightOfReplicas: () => Promise<ReadonlySet<number>>;
}

const AT_ONCE = 64;
/** Longer than a dead process keeps a delivery, and than an attempt takes by default. */
const IN_FLIGHT_WAIT_MS = 15_000;
const LOOK_MS = 50;
const LOOK_IN_FLIGHT_MS = 500;
/** A consumer that stands still is found out while somebody waits for it. */
const QUIET_MS = 2_000;
const WHY = "discarded by a person while it was parked";

export function createDiscardBacklog(dependencies: DiscardBacklogDependencies): DiscardBacklog {
  const { manager, acks, names, giveUp, skipDelivered, backlog, inFlightOfReplicas, clock, logger } = dependencies;
  const stream = names.streams.parked;

  const infoOf = (consumer: string): Promise<ConsumerInfo | null> =>
    orUnreachable(unlessNotFound(manager.consumers.info(stream, consumer)));

  const countOf = async (subject: string): Promise<{ count: number; lastSequence: number }> => {
    const { state } = await orUnreachable(manager.streams.info(stream, { subjects_filter: subject }));
    return { count: state.subjects?.[subject] ?? 0, lastSequence: state.last_seq };
  };

  const storeLetter = async (message: ConsumedMessage, delivery: Delivery): Promise<void> => {
    try {
      await giveUp.delivery({ delivery, reason: "discarded", error: WHY }, message);
    } catch (error) {
      if (!(error instanceof AppError) || error.retryable) throw error;
      // Too large with what is said of it.
      await giveUp.message(message, "discarded", error.message, delivery.app);
    }
  };

  return async (queue, isWanted) => {
    const subject = names.parked(queue.app, queue.installationUuid);
    const settings: ConsumerSettings = parkedConsumer(names, queue.app, queue.installationUuid, AT_ONCE);
    const { consumer } = settings;
    let attempted = await inFlightOfReplicas();
    let askedAt = clock.now();
    const { count, lastSequence } = await countOf(subject);
    if (count === 0) return { discarded: 0, inFlight: 0 };

    /** Messages of that count that are done. */
    let done = 0;
    let discarded = 0;
    /** Came too late, or were parked after the call. */
    const spare: ConsumedMessage[] = [];
    /** Why one could not be stored. */
    let refusal: AppError | undefined;
    /** When the last one of them came. */
    let takenAt = clock.now();
    let begun: Promise<unknown> = Promise.resolve();
    let removed: Promise<void> = Promise.resolve();

    /** Begins when those before it have begun. @returns whether it went to dead letters. */
    const handle = (message: ConsumedMessage): Promise<boolean> => {
      let delivery: Delivery;
      try {
        delivery = decodeDeliveryMessage(Buffer.from(message.data).toString("utf8")).delivery;
      } catch (error) {
        return giveUp.message(message, "invalid", messageOf(error), queue.app).then(() => true);
      }
      const isDone = skipDelivered(delivery);
      const letter = begun.then(async () => {
        return { stored: (await isDone) ? null : storeLetter(message, delivery) };
      });
      begun = letter;
      return letter.then(async ({ stored }) => {
        await stored;
        return stored !== null;
      });
    };

    const take = (message: ConsumedMessage): void => {
      if (message.sequence > lastSequence || !isWanted()) return void spare.push(message);
      if (attempted.has(message.sequence)) return message.nak(LOOK_IN_FLIGHT_MS);
      takenAt = clock.now();
      const handled = handle(message);
      removed = Promise.allSettled([handled, removed]).then(([{ status, ...result }]) => {
        if (status === "fulfilled") {
          done++;
          if ("value" in result && result.value) discarded++;
          message.ack();
        } else {
          const reason = "reason" in result ? result.reason : undefined;
          if (reason instanceof AppError && reason.code === "STREAM_REFUSED") refusal ??= reason;
          const error = messageOf(reason);
          logger.error({ subject, sequence: message.sequence, error }, "parked delivery can't be discarded yet");
          message.nak(AGAIN_AFTER_MS);
        }
        if (loop.held() === spare.length) acks.flush();
      });
    };

    await ensureConsumer(manager, settings);
    const loop = createPullConsumer(dependencies, {
      settings,
      limit: () => (isWanted() && refusal === undefined ? Math.min(Math.min(AT_ONCE, count - done) + spare.length, 2 * AT_ONCE) : 0),
      // A poison message is discarded like any other.
      onMessage: take,
      recover: async () => void (await ensureConsumer(manager, settings)),
      quietMs: QUIET_MS,
    });
    loop.start();

    const isAnyLeft = async (): Promise<boolean> => {
      const oldest = await orUnreachable(backlog.after(queue, 0));
      return oldest !== null && oldest.source.sequence <= lastSequence;
    };

    /** @returns what is in flight elsewhere when nothing more is to be waited for; null while there is. */
    const look = async (): Promise<number | null> => {
      if (!isWanted()) return 0;
      if (attempted.size > 0 && clock.now() - askedAt >= LOOK_IN_FLIGHT_MS) {
        attempted = await inFlightOfReplicas();
        askedAt = clock.now();
      }
      if (loop.held() > spare.length) return null;
      if (refusal !== undefined) throw refusal;
      const info = await infoOf(consumer);
      const inFlight = Math.max(0, (info?.num_ack_pending ?? 0) - spare.length);
      if (inFlight === 0 && !(await isAnyLeft())) return 0;
      if (clock.now() - takenAt <= IN_FLIGHT_WAIT_MS) return null;
      if (inFlight > 0) return inFlight;
      throw new AppError(
        "STREAM_REFUSED",
        `the parked stream does not hand out what is parked under ${subject}; ${discarded} were discarded`,
        {
          retryable: true,
        },
      );
    };

    const close = async (): Promise<void> => {
      await loop.stop();
      for (const message of spare) message.nak(1);
      await unlessNotFound(manager.consumers.delete(stream, consumer)).catch((error: unknown) =>
        logger.warn({ consumer, error: messageOf(error) }, "the consumer of a discard stays until somebody finds it"),
      );
    };

    try {
      for (let inFlight = await look(); ; inFlight = await look()) {
        if (inFlight === null) {
          await sleep(clock, LOOK_MS);
          continue;
        }
        await close();
        await removed;
        return { discarded, inFlight };
      }
    } catch (error) {
      await close();
      throw error;
    }
  };
}
