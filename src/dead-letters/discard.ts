/**
 * Sends the backlog of a parked queue to dead letters because a person asked for it. Deliveries are taken through the queue's
 * own consumer, so that the server hands each one either to the queue consumer or to the discard: an attempt in flight ends
 * normally, and a delivery that a queue consumer gives back is discarded. The discard ends when it is no longer wanted, or
 * when dead letters can't be stored.
 */
import type { ParkedQueue } from "../delivery/ports.ts";
import { orUnreachable } from "../jetstream/or-unreachable.ts";
import { createPullConsumer, type PullConsumerDependencies } from "../jetstream/pull-consumer.ts";
import { AppError, messageOf } from "../model/app-error.ts";
import type { ParkedBacklog } from "../subscribers/parked/backlog.ts";
import { ACK_WAIT_MS, createDiscardConsumer, DISCARD_BATCH, type DiscardConsumerDependencies } from "./discard-consumer.ts";
import { createDiscardRun, type DiscardRunDependencies } from "./discard-run.ts";

export interface Discarded {
  readonly discarded: number;
  /** Deliveries still being attempted when the discard stopped waiting for them. */
  readonly inFlight: number;
}

/**
 * Discards everything that was parked before the call.
 * @param isWanted asked continually
 * @throws AppError NATS_UNREACHABLE, STREAM_REFUSED
 */
export type DiscardBacklog = (queue: ParkedQueue, isWanted: () => boolean) => Promise<Discarded>;

export interface DiscardBacklogDependencies extends PullConsumerDependencies, DiscardConsumerDependencies, DiscardRunDependencies {
  readonly backlog: Pick<ParkedBacklog, "after">;
}

/** Longer than a dead process keeps a delivery, and than an attempt takes by default. */
const IN_FLIGHT_WAIT_MS = 15_000;
const CHECK_EVERY_MS = 50;
/** Short, because a person waits: a stalled consumer has to be found soon. */
const QUIET_MS = 2_000;

export function createDiscardBacklog(dependencies: DiscardBacklogDependencies): DiscardBacklog {
  const { manager, acks, names, backlog, clock, logger } = dependencies;
  const stream = names.streams.parked;

  return async (queue, isWanted) => {
    const subject = names.parked(queue.app, queue.installationUuid);
    const consumerName = names.parkedConsumer(queue.app, queue.installationUuid);
    const { state: streamState } = await orUnreachable(manager.streams.info(stream, { subjects_filter: subject }));
    const count = streamState.subjects?.[subject] ?? 0;
    const lastSequence = streamState.last_seq;
    if (count === 0) return { discarded: 0, inFlight: 0 };

    const onCompleted = (): void => {
      // An ordered queue hands out its next delivery only after the acknowledgement.
      if (pulls.held() === state.spare) acks.flush();
    };
    const run = createDiscardRun(dependencies, { app: queue.app, lastSequence, isWanted, onCompleted });
    const { state } = run;
    const consumer = createDiscardConsumer(dependencies, queue);
    const limit = (): number => {
      if (!isWanted() || state.refusal !== null) return 0;
      return Math.min(Math.min(DISCARD_BATCH, count - state.completed) + state.spare, 2 * DISCARD_BATCH);
    };
    await consumer.open();
    const pulls = createPullConsumer(dependencies, {
      ...{ stream, consumer: consumerName, workQueueSubject: subject, limit, onMessage: run.take, recover: consumer.open },
      ...{ workingEveryMs: ACK_WAIT_MS / 3, quietMs: QUIET_MS },
    });
    pulls.start();

    const isAnyLeft = async (): Promise<boolean> => {
      const oldest = await orUnreachable(backlog.after(queue, 0));
      return oldest !== null && oldest.source.sequence <= lastSequence;
    };

    /** @returns the deliveries in flight elsewhere when there is nothing more to wait for; null: not yet. */
    const checkDone = async (): Promise<number | null> => {
      if (!isWanted()) return 0;
      if (pulls.held() > state.spare) return null;
      if (state.refusal !== null) throw state.refusal;
      const inFlight = Math.max(0, (await consumer.ackPending()) - state.spare);
      if (inFlight === 0 && !(await isAnyLeft())) return 0;
      if (clock.now() - state.takenAt <= IN_FLIGHT_WAIT_MS) return null;
      if (inFlight > 0) return inFlight;
      const problem = `the parked stream does not hand out what is parked under ${subject}; ${state.discarded} were discarded`;
      throw new AppError("STREAM_REFUSED", problem, { retryable: true });
    };

    const close = async (): Promise<void> => {
      await pulls.stop();
      run.giveBack();
      await consumer
        .restore()
        .catch((error: unknown) =>
          logger.warn({ consumer: consumerName, error: messageOf(error) }, "consumer keeps a raised max_ack_pending"),
        );
    };

    let inFlight: number | null = null;
    try {
      for (inFlight = await checkDone(); inFlight === null; inFlight = await checkDone())
        await new Promise<void>((resolve) => clock.after(CHECK_EVERY_MS, resolve));
    } finally {
      await close();
    }
    await run.completed();
    return { discarded: state.discarded, inFlight };
  };
}
