/**
 * Follows status events through a consumer: at least once, in order, one at a time. With a durable name a subscriber that
 * was away catches up. An event is acknowledged when the handler resolved, and comes again, later each time, when it threw.
 */
import { randomUUID } from "node:crypto";
import { AckPolicy, type ConsumerMessages, DeliverPolicy, type JetStreamManager, type JsMsg, NatsError, nanos } from "nats";
import { AppError, messageOf } from "../model/app-error.ts";
import { STATUS_EVENT_TYPES, type StatusEvent, type StatusEventOf, type StatusEventType } from "../model/status-event.ts";
import { DEFAULT_PREFIX, type NatsSource, openConnection, streamName } from "./connection.ts";

export interface StatusHandlerContext {
  readonly subject: string;
  readonly sequence: number;
  /** How often the event was handed out before. */
  readonly redelivered: number;
}

export type StatusHandler<Type extends StatusEventType = StatusEventType> = (
  event: StatusEventOf<Type>,
  context: StatusHandlerContext,
) => void | Promise<void>;

export interface SubscribeStatusOptions<Type extends StatusEventType = StatusEventType> {
  readonly nats: NatsSource;
  /**
   * Names the subscription: a process that starts with the same name goes on where the last one stopped. Without it the
   * subscription ends with `stop`, or some minutes after the process.
   */
  readonly durable?: string;
  readonly subjectPrefix?: string;
  /** All when not given. The handler's event is one of these. */
  readonly changes?: readonly Type[];
  readonly app?: string;
  readonly installationUuid?: string;
  /** Where a new subscription begins; an existing one goes on. */
  readonly startAt?: "new" | "all" | Date;
  readonly onEvent: StatusHandler<Type>;
  /** Told of what went wrong and is tried again; nobody when not given. */
  readonly onError?: (error: unknown) => void;
}

export interface StatusSubscription {
  /** Resolves when the handler that is running has ended. */
  stop(): Promise<void>;
}

const ACK_WAIT_MS = 30_000;
const FETCH_MS = 10_000;
const AGAIN_AFTER_MS = 500;
const LONGEST_BACKOFF_MS = 5 * 60_000;
/** The server forgets a subscription without a name that asked for nothing for so long. */
const FORGOTTEN_AFTER_MS = 5 * 60_000;

type Where = Omit<SubscribeStatusOptions, "onEvent">;

/** @throws AppError NATS_UNREACHABLE, NOT_FOUND when there is no status stream, PUBLISH_INVALID naming the wrong option */
export async function subscribeStatus<const Type extends StatusEventType = StatusEventType>(
  options: SubscribeStatusOptions<Type>,
): Promise<StatusSubscription> {
  const { durable = `once-${randomUUID()}`, subjectPrefix = DEFAULT_PREFIX, onEvent, onError = () => {} } = options;
  if (!/^[A-Za-z0-9_-]{1,64}$/.test(durable))
    throw new AppError("PUBLISH_INVALID", `durable: found ${JSON.stringify(durable)}, wanted 1 to 64 letters, digits, _ and -`);
  const unknown = options.changes?.find((change) => !STATUS_EVENT_TYPES.includes(change));
  if (unknown !== undefined || options.changes?.length === 0) {
    const found = JSON.stringify(unknown ?? []);
    throw new AppError("PUBLISH_INVALID", `changes: found ${found}, wanted some of ${STATUS_EVENT_TYPES.join(", ")}`);
  }
  const { connection, close } = await openConnection(options.nats);
  const manager = await connection.jetstreamManager();
  const stream = streamName(subjectPrefix, "STATUS");
  const ensure = (): Promise<void> => ensureConsumer(manager, stream, subjectPrefix, durable, options);
  await ensure();

  let stopped = false;
  let fetching: ConsumerMessages | undefined;

  const handle = async (message: JsMsg): Promise<void> => {
    const event = eventOf(message);
    if (event === null) {
      // It would stand in the way of all that follow.
      onError(new AppError("RECORD_INVALID", `${message.subject}: message ${message.seq} of ${stream} is no status event; it is skipped`));
      return message.term();
    }
    const keepAlive = setInterval(() => message.working(), ACK_WAIT_MS / 3);
    try {
      if (isWanted(event, options)) {
        await onEvent(event as StatusEventOf<Type>, {
          subject: message.subject,
          sequence: message.seq,
          redelivered: message.info.redeliveryCount - 1,
        });
      }
      message.ack();
    } catch (error) {
      onError(error);
      message.nak(Math.min(1_000 * 2 ** (message.info.redeliveryCount - 1), LONGEST_BACKOFF_MS));
    } finally {
      clearInterval(keepAlive);
    }
  };

  const run = async (): Promise<void> => {
    while (!stopped) {
      try {
        const consumer = await connection.jetstream().consumers.get(stream, durable);
        while (!stopped) {
          const messages = await consumer.fetch({ max_messages: 1, expires: FETCH_MS });
          fetching = messages;
          for await (const message of messages) await handle(message);
        }
      } catch (error) {
        if (stopped) return;
        onError(error);
        await new Promise((resolve) => setTimeout(resolve, AGAIN_AFTER_MS));
        // It may have been deleted; where it stood is lost with it, and it begins as a new one does.
        await ensure().catch(onError);
      }
    }
  };
  const running = run();

  return {
    async stop() {
      stopped = true;
      fetching?.stop();
      await running;
      if (options.durable === undefined) await manager.consumers.delete(stream, durable).catch(() => false);
      await close();
    },
  };
}

async function ensureConsumer(manager: JetStreamManager, stream: string, prefix: string, durable: string, options: Where): Promise<void> {
  const { startAt = "new" } = options;
  const filter = filterSubject(prefix, options);
  try {
    const { config } = await manager.consumers.info(stream, durable);
    if (config.filter_subject !== filter) await manager.consumers.update(stream, durable, { ...config, filter_subject: filter });
    return;
  } catch (error) {
    if (!(error instanceof NatsError) || error.api_error?.code !== 404) throw error;
  }
  try {
    await manager.consumers.add(stream, {
      durable_name: durable,
      filter_subject: filter,
      ack_policy: AckPolicy.Explicit,
      ack_wait: nanos(ACK_WAIT_MS),
      max_ack_pending: 1,
      max_deliver: -1,
      ...(options.durable === undefined ? { inactive_threshold: nanos(FORGOTTEN_AFTER_MS) } : {}),
      ...(startAt instanceof Date
        ? { deliver_policy: DeliverPolicy.StartTime, opt_start_time: startAt.toISOString() }
        : { deliver_policy: startAt === "all" ? DeliverPolicy.All : DeliverPolicy.New }),
    });
  } catch (error) {
    throw new AppError(
      "NOT_FOUND",
      `can't follow ${stream}: was Posthorn started with the prefix ${JSON.stringify(prefix)}? (${messageOf(error)})`,
      {
        retryable: true,
        cause: error,
      },
    );
  }
}

/** One subject: servers before 2.10 take only one. What it lets through too much is filtered here. */
function filterSubject(prefix: string, { changes, app = "*", installationUuid }: Where): string {
  const type = changes?.length === 1 ? changes[0] : "*.*";
  if (installationUuid !== undefined) return `${prefix}.status.${type}.${app}.${installationUuid}`;
  if (type === "*.*") return `${prefix}.status.>`;
  return type?.startsWith("circuit.") ? `${prefix}.status.${type}.${app}` : `${prefix}.status.${type}.${app}.*`;
}

function eventOf(message: JsMsg): StatusEvent | null {
  try {
    const event = message.json<StatusEvent | null>();
    return typeof event?.type === "string" && typeof event.data === "object" && event.data !== null ? event : null;
  } catch {
    return null;
  }
}

function isWanted({ type, data }: StatusEvent, { changes, app, installationUuid }: Where): boolean {
  if (changes !== undefined && !changes.includes(type)) return false;
  if (app !== undefined && data.app !== app) return false;
  return installationUuid === undefined || ("installation_uuid" in data && data.installation_uuid === installationUuid);
}
