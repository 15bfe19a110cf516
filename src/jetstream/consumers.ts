/** The settings of Posthorn's durable consumers, and how a consumer is created or checked. */
import { AckPolicy, type ConsumerConfig, DeliverPolicy, type JetStreamManager, type NatsConnection, nanos } from "nats";
import { AppError } from "../model/app-error.ts";
import { unlessNotFound } from "./nats-errors.ts";
import { restoreLost } from "./read-subject.ts";
import type { Subjects } from "./subjects.ts";

export interface ConsumerSettings {
  readonly stream: string;
  readonly consumer: string;
  /** Null: all of the stream's subjects. */
  readonly filterSubject: string | null;
  /** Whether the stream removes a message once it is acknowledged. */
  readonly isWorkQueue: boolean;
  /** A message that is neither acknowledged nor kept alive for so long is delivered again. */
  readonly ackWaitMs: number;
  /** Unacknowledged messages over all replicas. */
  readonly maxAckPending: number;
}

/** Longer than a garbage collection or a reconnect takes; shorter ones would repeat events of a replica that is alive. */
const EVENTS_ACK_WAIT_MS = 30_000;
/** Short, so that the messages of a killed replica are late by little. */
const WORK_QUEUE_ACK_WAIT_MS = 10_000;
const MAX_ACK_PENDING = 10_000;
/** More, as a replica reads past what has to wait. */
const MAX_EVENTS_ACK_PENDING = 50_000;
const MAX_BATCHES_ACK_PENDING = 1_000;

export function eventsConsumer({ streams, eventsConsumer: consumer }: Subjects): ConsumerSettings {
  return ofEvents(streams.events, consumer);
}

/** @param term of the replica that owns the queues: its name */
export function orderConsumer({ streams, orderConsumer: nameOf }: Subjects, term: string): ConsumerSettings {
  return ofEvents(streams.events, nameOf(term));
}

export function tierConsumer({ streams, ...names }: Subjects, tierS: number): ConsumerSettings {
  return ofWorkQueue(streams.retries, names.tierConsumer(tierS), names.tierFilter(tierS), MAX_ACK_PENDING);
}

export function fanOutConsumer({ streams, fanOutConsumer: consumer, fanOut }: Subjects): ConsumerSettings {
  return ofWorkQueue(streams.retries, consumer, fanOut, MAX_BATCHES_ACK_PENDING);
}

/** @param maxAckPending limits the attempts of the queue over all replicas */
export function parkedConsumer(names: Subjects, app: string, installationUuid: string | null, maxAckPending: number): ConsumerSettings {
  return ofWorkQueue(names.streams.parked, names.parkedConsumer(app, installationUuid), names.parked(app, installationUuid), maxAckPending);
}

function ofEvents(stream: string, consumer: string): ConsumerSettings {
  return {
    stream,
    consumer,
    filterSubject: null,
    isWorkQueue: false,
    ackWaitMs: EVENTS_ACK_WAIT_MS,
    maxAckPending: MAX_EVENTS_ACK_PENDING,
  };
}

function ofWorkQueue(stream: string, consumer: string, filterSubject: string, maxAckPending: number): ConsumerSettings {
  return { stream, consumer, filterSubject, isWorkQueue: true, ackWaitMs: WORK_QUEUE_ACK_WAIT_MS, maxAckPending };
}

/**
 * Creates the consumer, or checks the one that exists. A new consumer is not handed what the server's index has lost (INDEX-1), so that
 * is stored again first, as far as there is room.
 * @param startingPoint where a new consumer begins; the oldest message when absent
 * @returns whether it was created
 * @throws AppError STREAM_MISMATCH
 */
export async function ensureConsumer(
  { connection, manager }: { readonly connection: NatsConnection; readonly manager: JetStreamManager },
  settings: ConsumerSettings,
  startingPoint: () => Promise<Partial<ConsumerConfig>> = async () => ({ deliver_policy: DeliverPolicy.All }),
): Promise<boolean> {
  const { stream, consumer, filterSubject, isWorkQueue, ackWaitMs, maxAckPending } = settings;
  const wanted = {
    durable_name: consumer,
    ...(filterSubject === null ? {} : { filter_subject: filterSubject }),
    ack_policy: AckPolicy.Explicit,
    ack_wait: nanos(ackWaitMs),
    max_deliver: -1,
    max_ack_pending: maxAckPending,
  };
  const find = async (): Promise<ConsumerConfig | undefined> => (await unlessNotFound(manager.consumers.info(stream, consumer)))?.config;
  const found = await find();
  if (found === undefined) {
    const isMissing = async (): Promise<boolean> => (await find()) === undefined;
    if (isWorkQueue && filterSubject !== null)
      await restoreLost(connection, manager, { stream, subject: filterSubject }, isMissing).catch(() => {});
    await manager.consumers.add(stream, { ...wanted, ...(await startingPoint()) });
    return true;
  }
  const problems = consumerProblems(settings, found);
  if (problems.length > 0) throw new AppError("STREAM_MISMATCH", problems.join("\n"));
  if (found.max_ack_pending !== wanted.max_ack_pending || found.ack_wait !== wanted.ack_wait) {
    await manager.consumers.update(stream, consumer, { ...found, ...wanted });
  }
  return false;
}

/** Settings of an existing consumer that Posthorn can't work with. */
export function consumerProblems({ stream, consumer, filterSubject }: ConsumerSettings, found: ConsumerConfig): string[] {
  const problems: string[] = [];
  const check = (setting: keyof ConsumerConfig, isRight: boolean, wanted: unknown): void => {
    if (isRight) return;
    problems.push(
      `consumer ${consumer} of ${stream}: ${setting}: found ${JSON.stringify(found[setting])}, wanted ${JSON.stringify(wanted)}`,
    );
  };
  check("deliver_subject", !found.deliver_subject, "none (a pull consumer)");
  check("ack_policy", found.ack_policy === "explicit", "explicit");
  check("max_deliver", (found.max_deliver ?? -1) <= 0, -1);
  check("filter_subject", (found.filter_subject ?? "") === (filterSubject ?? ""), filterSubject ?? "");
  return problems;
}
