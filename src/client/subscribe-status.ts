/**
 * Follows status events through a consumer, at least once.
 *
 * SUBSCRIBE-1  With a durable name a subscriber catches up after a restart.
 * SUBSCRIBE-2  With `maxInFlight` 1 events arrive in order, and one that waits for redelivery blocks the next ones. With more they
 *     don't wait for each other.
 */
import { randomUUID } from "node:crypto";
import type { ConsumerMessages, JsMsg, NatsConnection } from "nats";
import { createSubjects } from "../jetstream/subjects.ts";
import type { StatusEventType } from "../model/status-event.ts";
import { DEFAULT_PREFIX, openConnection } from "./connection.ts";
import { ensureStatusConsumer, type StartAt, type StatusConsumerPlan, type StatusFilter } from "./status-consumer.ts";
import { createMessageHandler } from "./status-message-handler.ts";
import { checkStatusOptions, type SubscribeStatusOptions } from "./status-options.ts";
import { createPosition } from "./status-position.ts";

export interface StatusSubscription {
  /** Resolves when the running handlers have ended. */
  stop(): Promise<void>;
}

const FETCH_MS = 10_000;
const RETRY_AFTER_MS = 500;

/** @throws AppError NATS_UNREACHABLE, NOT_FOUND when there is no status stream, PUBLISH_INVALID naming the wrong option */
export async function subscribeStatus<const Type extends StatusEventType = StatusEventType>(
  options: SubscribeStatusOptions<Type>,
): Promise<StatusSubscription> {
  checkStatusOptions(options);
  const { connection, close } = await openConnection(options.nats);
  try {
    return await follow(connection, close, options);
  } catch (error) {
    await close();
    throw error;
  }
}

async function follow<Type extends StatusEventType>(
  connection: NatsConnection,
  close: () => Promise<void>,
  {
    durable,
    subjectPrefix = DEFAULT_PREFIX,
    apiPrefix = "$JS.API",
    startAt = "new",
    maxInFlight = 1,
    ...options
  }: SubscribeStatusOptions<Type>,
): Promise<StatusSubscription> {
  const { onEvent, onError = () => {}, changes, app, installationUuid } = options;
  const filter: StatusFilter = {
    ...(changes === undefined ? {} : { changes }),
    ...(app === undefined ? {} : { app }),
    // Subjects and events have it in lower case.
    ...(installationUuid === undefined ? {} : { installationUuid: installationUuid.toLowerCase() }),
  };
  const name = durable ?? `once-${randomUUID()}`;
  const plan: StatusConsumerPlan = { ...filter, subjectPrefix, name, isDurable: durable !== undefined, maxInFlight };
  const stream = createSubjects(subjectPrefix).streams.status;
  // The check would fail in an account without a JetStream of its own.
  const manager = await connection.jetstreamManager({ apiPrefix, checkAPI: false });

  const position = createPosition(startAt);
  const ensure = async (from: StartAt): Promise<void> => position.update(await ensureStatusConsumer(manager, plan, from));
  await ensure(startAt);

  let stopped = false;
  let fetching: ConsumerMessages | undefined;
  const running = new Set<Promise<void>>();

  const handle = createMessageHandler<Type>({ stream, filter, position, onEvent, onError });

  const begin = (message: JsMsg): void => {
    const handling = handle(message)
      .catch(onError)
      .finally(() => running.delete(handling));
    running.add(handling);
  };

  const pull = async (): Promise<void> => {
    const consumer = await connection.jetstream({ apiPrefix }).consumers.get(stream, name);
    while (!stopped) {
      if (running.size >= maxInFlight) {
        await Promise.race(running);
        continue;
      }
      if (position.isOutdated()) position.update(await consumer.info());
      const messages = await consumer.fetch({ max_messages: maxInFlight - running.size, expires: FETCH_MS });
      fetching = messages;
      if (stopped) messages.stop();
      for await (const message of messages) {
        if (stopped) message.nak();
        else begin(message);
      }
    }
  };

  const run = async (): Promise<void> => {
    while (!stopped) {
      try {
        await pull();
      } catch (error) {
        if (stopped) return;
        onError(error);
        await new Promise((resolve) => setTimeout(resolve, RETRY_AFTER_MS));
        // The consumer may have been deleted.
        await ensure(position.resumeAt()).catch(onError);
      }
    }
  };
  const ended = run();

  return {
    async stop() {
      stopped = true;
      fetching?.stop();
      await ended;
      await Promise.all(running);
      if (durable === undefined) await manager.consumers.delete(stream, name).catch(() => false);
      await close();
    },
  };
}
