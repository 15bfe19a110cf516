/**
 * Sends the backlog of a parked queue to dead letters because a person asked for it. Deliveries are taken through a consumer
 * that exists for the discard. The owner of the queues says what it is attempting: such an attempt ends normally, and what it
 * leaves in the queue is discarded. The discard ends when it is no longer wanted, or when dead letters can't be stored.
 */
import type { HandledMessage, ParkedQueue } from "../delivery/ports.ts";
import { ensureConsumer, parkedConsumer } from "../jetstream/consumers.ts";
import { unlessNotFound } from "../jetstream/nats-errors.ts";
import { orUnreachable } from "../jetstream/or-unreachable.ts";
import { createPullConsumer, type PullConsumerDependencies } from "../jetstream/pull-consumer.ts";
import { firstSequence } from "../jetstream/read-subject.ts";
import { subjectState } from "../jetstream/subject-counts.ts";
import { mayLoseMessages } from "../jetstream/subject-index.ts";
import type { Subjects } from "../jetstream/subjects.ts";
import { AppError, messageOf } from "../model/app-error.ts";
import { sleep } from "../model/periodic.ts";
import type { Backlog } from "../subscribers/parked/backlog.ts";
import { createAttemptedElsewhere, createDiscardRun, type DiscardRunDependencies } from "./discard-run.ts";

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

export interface DiscardBacklogDependencies extends PullConsumerDependencies, DiscardRunDependencies {
  readonly names: Subjects;
  readonly backlog: Pick<Backlog, "read">;
  /** Sequences in the parked stream that are being attempted. */
  readonly inFlightOfReplicas: () => Promise<ReadonlySet<number>>;
}

const BATCH = 64;
/** Longer than a dead process keeps a delivery, and than an attempt takes by default. */
const IN_FLIGHT_WAIT_MS = 15_000;
const CHECK_EVERY_MS = 50;
/** Short, because a person waits: a stalled consumer has to be found soon. */
const QUIET_MS = 2_000;

export function createDiscardBacklog(dependencies: DiscardBacklogDependencies): DiscardBacklog {
  const { connection, manager, acks, names, backlog, inFlightOfReplicas, clock, logger } = dependencies;
  const stream = names.streams.parked;

  return async (queue, isWanted) => {
    const subject = names.parked(queue.app, queue.installationUuid);
    const settings = parkedConsumer(names, queue.app, queue.installationUuid, BATCH);
    const { consumer } = settings;
    const elsewhere = await createAttemptedElsewhere(inFlightOfReplicas, clock);
    const { count, last } = await orUnreachable(subjectState(manager, stream, subject));
    if (count === 0) return { discarded: 0, inFlight: 0 };

    // One that was stored again meanwhile was parked before.
    const isEarlier = (message: HandledMessage): boolean => firstSequence(message.sequence, message.header("nats-msg-id")) <= last;
    const onCompleted = (): void => {
      if (pulls.held() === state.spare) acks.flush();
    };
    const run = createDiscardRun(dependencies, { app: queue.app, isEarlier, isWanted, isAttempted: elsewhere.has, onCompleted });
    const { state } = run;
    const open = async (): Promise<void> => {
      await ensureConsumer(dependencies, settings);
    };
    const limit = (): number => {
      if (!isWanted() || state.refusal !== null) return 0;
      return Math.min(Math.min(BATCH, count - state.completed) + state.spare, 2 * BATCH);
    };
    await open();
    // A poison message is discarded like any other.
    const pulls = createPullConsumer(dependencies, { settings, limit, onMessage: run.take, recover: open, quietMs: QUIET_MS });
    pulls.start();

    const isAnyLeft = async (): Promise<boolean> => {
      // Nothing is stored again where nothing is lost. Younger ones may come faster than they are read.
      const within = mayLoseMessages(connection) ? {} : { to: last };
      for await (const { message } of backlog.read(queue, within)) if (isEarlier(message)) return true;
      return false;
    };

    /** @returns the deliveries in flight elsewhere when there is nothing more to wait for; null: not yet */
    const checkDone = async (): Promise<number | null> => {
      if (!isWanted()) return 0;
      await elsewhere.refresh();
      if (pulls.held() > state.spare) return null;
      if (state.refusal !== null) throw state.refusal;
      const info = await orUnreachable(unlessNotFound(manager.consumers.info(stream, consumer)));
      const inFlight = Math.max(0, (info?.num_ack_pending ?? 0) - state.spare);
      if (inFlight === 0 && !(await orUnreachable(isAnyLeft()))) return 0;
      if (clock.now() - state.takenAt <= IN_FLIGHT_WAIT_MS) return null;
      if (inFlight > 0) return inFlight;
      const problem = `the parked stream does not hand out what is parked under ${subject}; ${state.discarded} were discarded`;
      throw new AppError("STREAM_REFUSED", problem, { retryable: true });
    };

    const close = async (): Promise<void> => {
      await pulls.stop();
      run.giveBack();
      await unlessNotFound(manager.consumers.delete(stream, consumer)).catch((error: unknown) =>
        logger.warn({ consumer, error: messageOf(error) }, "the consumer of a discard could not be deleted"),
      );
    };

    let inFlight: number | null = null;
    try {
      for (inFlight = await checkDone(); inFlight === null; inFlight = await checkDone()) await sleep(clock, CHECK_EVERY_MS);
    } finally {
      await close();
    }
    await run.completed();
    return { discarded: state.discarded, inFlight };
  };
}
