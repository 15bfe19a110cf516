/**
 * Makes the deliveries of an app that wait for a retry due now, on all replicas.
 *
 * RETRYNOW-1  In the retries stream a delivery is stored again, due now, under the message id of its next step (STREAM-1), and then
 *             removed from where it waited. A replica that steps it down meanwhile stores the same message; one that holds it drops
 *             it when it hears so, and would skip it otherwise, because the delivery was stored since.
 * RETRYNOW-2  A delivery of an ordered app waits in its queue, and its owner makes it due.
 */
import type { JetStreamManager, NatsConnection, StoredMsg } from "nats";
import type { RegistryView } from "../delivery/ports.ts";
import type { DeliveryStreamWriter } from "../jetstream/delivery-streams.ts";
import { unreachableOr } from "../jetstream/nats-errors.ts";
import { headerOf } from "../jetstream/read-stored-event.ts";
import { readSubject } from "../jetstream/read-subject.ts";
import { deleteMessage, messageAt } from "../jetstream/stored-message.ts";
import { subjectState } from "../jetstream/subject-counts.ts";
import type { Subjects } from "../jetstream/subjects.ts";
import { isOrdered } from "../model/app.ts";
import { AppError, isTooLarge, messageOf } from "../model/app-error.ts";
import type { Clock } from "../model/clock.ts";
import { type DeliveryMessage, decodeDeliveryMessage } from "../model/delivery-message.ts";
import type { Logger } from "../model/logger.ts";
import { resolvesWithin } from "../model/within.ts";
import type { ReplicaChannel } from "./replica-channel.ts";

/**
 * Resolves to the number of deliveries that waited when it was called.
 * @throws AppError NOT_FOUND, NATS_UNREACHABLE, STREAM_REFUSED
 */
export type RetryNow = (app: string) => Promise<number>;

export interface RetryNowDependencies {
  readonly connection: NatsConnection;
  readonly manager: JetStreamManager;
  readonly names: Subjects;
  readonly registry: Pick<RegistryView, "app">;
  readonly streams: Pick<DeliveryStreamWriter, "retry">;
  readonly channel: Pick<ReplicaChannel, "askOwner" | "announce">;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** A delivery that is due within this time is left where it is. */
const SOON_MS = 2_000;
const AT_ONCE = 64;
/** A run that takes longer continues without its caller. */
const ANSWER_WITHIN_MS = 5_000;

export function createRetryNow(dependencies: RetryNowDependencies): RetryNow {
  const { connection, manager, names, registry, streams, channel, clock, logger } = dependencies;
  const stream = names.streams.retries;
  const runs = new Map<string, Promise<void>>();

  /** Null for a message that is left where it is. */
  const waitingIn = (message: StoredMsg): DeliveryMessage | null => {
    try {
      const waiting = decodeDeliveryMessage(message.string());
      return (waiting.dueAt ?? 0) - clock.now() > SOON_MS ? waiting : null;
    } catch {
      // Its consumer gives it up.
      return null;
    }
  };

  const remove = async (sequence: number): Promise<void> => {
    try {
      await deleteMessage(manager, stream, sequence);
    } catch (error) {
      // It is skipped when it becomes due.
      logger.warn({ stream, sequence, error: messageOf(error) }, "a retry that is due now can't be removed");
    }
  };

  /** @returns the sequences that its delivery left */
  const makeDue = async (message: StoredMsg): Promise<number[]> => {
    const waiting = waitingIn(message);
    if (waiting === null) return [];
    const { delivery } = waiting;
    const traceparent = headerOf(message.header, "traceparent");
    const trace = traceparent === undefined ? delivery.event : { traceparent, tracestate: headerOf(message.header, "tracestate") ?? null };
    const delay = { dueAt: clock.now(), delayMs: 0, notBefore: false };
    const stored = await streams.retry(delivery, delay, { stream, sequence: message.seq }, trace);
    await remove(message.seq);
    // It was stepped down, and waits there.
    const next = stored.isDuplicate ? await messageAt(manager, stream, stored.sequence) : null;
    return [message.seq, ...(next === null ? [] : await makeDue(next))];
  };

  /** One that can't be stored again waits for its time. */
  const noneIfTooLarge = (error: unknown): number[] => {
    if (!isTooLarge(error)) throw error;
    logger.warn({ stream, error: messageOf(error) }, "a retry can't be made due");
    return [];
  };

  const run = async (app: string): Promise<void> => {
    const { state } = await manager.streams.info(stream);
    let batch: StoredMsg[] = [];
    const makeBatchDue = async (): Promise<void> => {
      const moved = (await Promise.all(batch.map((message) => makeDue(message).catch(noneIfTooLarge)))).flat();
      if (moved.length > 0) channel.announce(names.movedRetries, moved);
      batch = [];
    };
    for await (const message of readSubject(connection, manager, { stream, subject: names.retriesFilter(app), to: state.last_seq })) {
      batch.push(message);
      if (batch.length === AT_ONCE) await makeBatchDue();
    }
    await makeBatchDue();
  };

  /** One at a time for an app. */
  const runAlone = (app: string): Promise<void> => {
    const running = runs.get(app) ?? run(app).finally(() => runs.delete(app));
    runs.set(app, running);
    return running;
  };

  return async (app) => {
    if (registry.app(app) === undefined) throw new AppError("NOT_FOUND", `no app ${app}`);
    try {
      const [{ count }, inOrder] = await Promise.all([
        subjectState(manager, stream, names.retriesFilter(app)),
        channel.askOwner<number>(names.retryNow, app),
      ]);
      if (inOrder === null && isOrdered(registry.app(app)))
        throw new AppError("NATS_UNREACHABLE", "the replica that owns the queues does not answer", { retryable: true });
      const running = runAlone(app);
      const isDone = await resolvesWithin(clock, ANSWER_WITHIN_MS, running);
      if (!isDone) running.catch((error: unknown) => logger.warn({ app, error: messageOf(error) }, "not all retries are due now"));
      return count + (inOrder ?? 0);
    } catch (error) {
      throw unreachableOr(error);
    }
  };
}
