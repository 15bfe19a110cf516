/**
 * Follows status events through a consumer, at least once.
 *
 * S1  With a durable name a subscriber that was away catches up. An event is acknowledged when the handler resolved, and
 *     comes again, later each time, when it threw.
 * S2  With `maxInFlight` 1 events come in order, and one that is handed out again keeps the next ones waiting. With more
 *     they don't wait for each other, whatever becomes of one.
 * S3  A consumer that is deleted meanwhile is made anew behind what all processes of its name had acknowledged; what this
 *     one has handled since it last asked for that is not handled again.
 */
import { randomUUID } from "node:crypto";
import type { ConsumerInfo, ConsumerMessages, JsMsg, NatsConnection } from "nats";
import { AppError } from "../model/app-error.ts";
import type { StatusEvent, StatusEventOf, StatusEventType } from "../model/status-event.ts";
import { DEFAULT_PREFIX, openConnection, streamName } from "./connection.ts";
import {
  ACK_WAIT_MS,
  ensureStatusConsumer,
  firstOpen,
  type StartAt,
  type StatusConsumerPlan,
  type StatusFilter,
} from "./status-consumer.ts";
import { checkStatusOptions, type SubscribeStatusOptions } from "./status-options.ts";

export interface StatusSubscription {
  /** Resolves when the handlers that are running have ended. */
  stop(): Promise<void>;
}

const FETCH_MS = 10_000;
const AGAIN_AFTER_MS = 500;
const LONGEST_BACKOFF_MS = 5 * 60_000;
/** How often the server is asked what is acknowledged. */
const ASK_EVERY_MS = 10_000;

/** @throws AppError NATS_UNREACHABLE, NOT_FOUND when there is no status stream, PUBLISH_INVALID naming the wrong option */
/** Events handled here that are remembered, in case their consumer is deleted before the server knows. */
const MOST_HANDLED = 10_000;

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
    // As subjects and events have it.
    ...(installationUuid === undefined ? {} : { installationUuid: installationUuid.toLowerCase() }),
  };
  const name = durable ?? `once-${randomUUID()}`;
  const plan: StatusConsumerPlan = { ...filter, subjectPrefix, name, isDurable: durable !== undefined, maxInFlight };
  const stream = streamName(subjectPrefix, "STATUS");
  // The account may have no JetStream of its own to check.
  const manager = await connection.jetstreamManager({ apiPrefix, checkAPI: false });

  /** Everything before it is acknowledged, whoever did it. */
  let goesOnAt: StartAt = startAt;
  let askedAt = 0;
  /** What was handled here and is behind that: sequence → when the server stored it. */
  const handled = new Map<number, number>();
  const note = (info: ConsumerInfo): void => {
    goesOnAt = firstOpen(info);
    askedAt = Date.now();
    for (const sequence of handled.keys()) if (sequence <= info.ack_floor.stream_seq) handled.delete(sequence);
  };
  const ensure = async (from: StartAt): Promise<void> => note(await ensureStatusConsumer(manager, plan, from));
  await ensure(startAt);

  let stopped = false;
  let fetching: ConsumerMessages | undefined;
  const running = new Set<Promise<void>>();

  const handle = async (message: JsMsg): Promise<void> => {
    const { seq: sequence, subject } = message;
    const { redeliveryCount, timestampNanos: storedAt } = message.info;
    if (handled.get(sequence) === storedAt) return message.ack();
    const event = eventOf(message);
    if (event === null) {
      // It would stand in the way of all that follow.
      onError(new AppError("RECORD_INVALID", `${subject}: message ${sequence} of ${stream} is no status event; it is skipped`));
      return message.term();
    }
    const keepAlive = setInterval(() => message.working(), ACK_WAIT_MS / 3);
    try {
      if (isWanted(event, filter)) await onEvent(event as StatusEventOf<Type>, { subject, sequence, redelivered: redeliveryCount - 1 });
      handled.set(sequence, storedAt);
      // Behind one that is never handled the server's floor stands still.
      if (handled.size > MOST_HANDLED) handled.delete(handled.keys().next().value ?? 0);
      message.ack();
    } catch (error) {
      onError(error);
      message.nak(backoffMs(redeliveryCount));
    } finally {
      clearInterval(keepAlive);
    }
  };

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
      if (Date.now() - askedAt >= ASK_EVERY_MS) note(await consumer.info());
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
        await new Promise((resolve) => setTimeout(resolve, AGAIN_AFTER_MS));
        // It may have been deleted.
        await ensure(goesOnAt).catch(onError);
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

/** How long an event waits to come again after its handler failed for the n-th time. */
export function backoffMs(failures: number): number {
  return Math.min(1_000 * 2 ** (failures - 1), LONGEST_BACKOFF_MS);
}

function eventOf(message: JsMsg): StatusEvent | null {
  try {
    const event = message.json<StatusEvent | null>();
    const { type, data } = event ?? {};
    return typeof type === "string" && typeof data === "object" && data !== null && !Array.isArray(data) ? event : null;
  } catch {
    return null;
  }
}

function isWanted({ type, data }: StatusEvent, { changes, app, installationUuid }: StatusFilter): boolean {
  if (changes !== undefined && !changes.includes(type)) return false;
  if (app !== undefined && data.app !== app) return false;
  return installationUuid === undefined || ("installation_uuid" in data && data.installation_uuid === installationUuid);
}
