/**
 * Finds a delivery's message in the retries, parked and dead-letters streams: at its noted location, or by a bounded search
 * of every queue that can hold it. Reading does not count as a redelivery.
 */
import type { JetStreamManager, NatsConnection, StoredMsg } from "nats";
import { orUnreachable } from "../jetstream/or-unreachable.ts";
import { readForwards, type StreamMessage, textOf } from "../jetstream/read-stream.ts";
import { FEW_OTHERS, readSubject } from "../jetstream/read-subject.ts";
import { messageAt } from "../jetstream/stored-message.ts";
import type { Subjects } from "../jetstream/subjects.ts";
import type { Delivery } from "../model/delivery.ts";
import type { LocatedDelivery, RemainingEvent, StreamLocation } from "../model/delivery-location.ts";
import { createReadLocated, type StoredText } from "./read-located.ts";

/** Every call rejects with AppError NATS_UNREACHABLE when the server does not answer. */
export interface FindInStreams {
  /** Null: the message is no longer there. */
  at(deliveryId: string, location: StreamLocation): Promise<LocatedDelivery | null>;
  /** The messages found of these deliveries. @param app searches its messages only; null: those of all apps */
  search(deliveryIds: ReadonlySet<string>, app: string | null): Promise<LocatedDelivery[]>;
  /** Dead letters of events with this id, which outlive the event in its stream; the newest dead letters are searched. */
  deadLettersOf(eventId: string): Promise<LocatedDelivery[]>;
  /** For an event without any known delivery. */
  remainingOf(eventSequence: number): Promise<RemainingEvent | null>;
  /** The extent of a search, in words. */
  readonly searched: string;
}

/** The oldest messages of a subject that are searched. */
const MAX_QUEUE_MESSAGES = 200;
/** The newest dead letters that are searched. */
const MAX_DEAD_LETTERS = 2_000;
const BATCH = 500;

export function createFindInStreams(connection: NatsConnection, manager: JetStreamManager, names: Subjects): FindInStreams {
  const { streams } = names;
  const streamOf = { retries: streams.retries, parked: streams.parked, "dead-letters": streams.deadLetters } as const;
  const locate = createReadLocated(names);

  const searchQueue = async (
    stream: StreamLocation["stream"],
    subject: string,
    wanted: ReadonlySet<string>,
  ): Promise<LocatedDelivery[]> => {
    const found: LocatedDelivery[] = [];
    for await (const message of oldestIn(connection, manager, streamOf[stream], subject)) {
      const located = locate(stream, storedText(message));
      if (located !== null && wanted.has(located.delivery.id)) found.push(located);
      if (found.length === wanted.size) break;
    }
    return found;
  };

  const newestDeadLetters = (subject: string): AsyncGenerator<StreamMessage> => newestIn(connection, manager, streams.deadLetters, subject);

  /** @param mentions a cheap check before the dead letter is decoded */
  const searchDeadLetters = async (
    subject: string,
    mentions: (text: string) => boolean,
    isWanted: (delivery: Delivery) => boolean,
  ): Promise<LocatedDelivery[]> => {
    const found: LocatedDelivery[] = [];
    for await (const message of newestDeadLetters(subject)) {
      const text = textOf(message.data);
      if (!mentions(text)) continue;
      const located = locate("dead-letters", { ...message, text });
      if (located !== null && isWanted(located.delivery)) found.push(located);
    }
    return found;
  };

  const at = async (deliveryId: string, { stream, sequence }: StreamLocation): Promise<LocatedDelivery | null> => {
    const message = await messageAt(manager, streamOf[stream], sequence);
    const located = message && locate(stream, storedText(message));
    return located?.delivery.id === deliveryId ? located : null;
  };

  const search = async (deliveryIds: ReadonlySet<string>, app: string | null): Promise<LocatedDelivery[]> => {
    const [appQueues, installationQueues] = names.parkedFilters(app);
    const found = await Promise.all([
      searchQueue("retries", names.retriesFilter(app), deliveryIds),
      searchQueue("parked", appQueues, deliveryIds),
      searchQueue("parked", installationQueues, deliveryIds),
      searchDeadLetters(
        names.deadLettersFilter(app),
        (text) => [...deliveryIds].some((id) => text.includes(id)),
        ({ id }) => deliveryIds.has(id),
      ),
    ]);
    return found.flat();
  };

  const remainingOf = async (eventSequence: number): Promise<RemainingEvent | null> => {
    for await (const message of oldestIn(connection, manager, streams.retries, names.fanOut)) {
      if (membersIn(message.string())["event_sequence"] === eventSequence) return { kind: "batches" };
    }
    for await (const { sequence, storedAt, data } of newestDeadLetters(names.deadLetter(null))) {
      const { source_stream, source_sequence, reason, error } = membersIn(textOf(data));
      if (source_stream !== streams.events || source_sequence !== eventSequence) continue;
      return { kind: "dead-letter", sequence, storedAt, reason: String(reason), error: String(error) };
    }
    return null;
  };

  const deadLettersOf = (eventId: string): Promise<LocatedDelivery[]> =>
    searchDeadLetters(
      names.deadLettersFilter(null),
      (text) => text.includes(JSON.stringify(eventId)),
      ({ event }) => event.id === eventId,
    );

  return {
    at: (deliveryId, location) => orUnreachable(at(deliveryId, location)),
    search: (deliveryIds, app) => orUnreachable(search(deliveryIds, app)),
    deadLettersOf: (eventId) => orUnreachable(deadLettersOf(eventId)),
    remainingOf: (eventSequence) => orUnreachable(remainingOf(eventSequence)),
    searched: `the oldest ${MAX_QUEUE_MESSAGES} messages of the retries and parked streams and the newest ${MAX_DEAD_LETTERS} dead letters`,
  };
}

async function* oldestIn(
  connection: NatsConnection,
  manager: JetStreamManager,
  stream: string,
  subject: string,
): AsyncGenerator<StoredMsg> {
  let looked = 0;
  for await (const message of readSubject(connection, manager, { stream, subject, mostOthers: FEW_OTHERS })) {
    yield message;
    looked++;
    if (looked === MAX_QUEUE_MESSAGES) return;
  }
}

async function* newestIn(
  connection: NatsConnection,
  manager: JetStreamManager,
  stream: string,
  subject: string,
): AsyncGenerator<StreamMessage> {
  const { last_seq: to } = (await manager.streams.info(stream)).state;
  yield* readForwards(connection, manager, { stream, subject, from: Math.max(1, to - MAX_DEAD_LETTERS + 1), to, batch: BATCH });
}

function storedText(message: StoredMsg): StoredText {
  return { subject: message.subject, sequence: message.seq, storedAt: message.time.getTime(), text: message.string() };
}

/** Empty for text that is not a JSON object. */
function membersIn(text: string): Readonly<Record<string, unknown>> {
  try {
    return (JSON.parse(text) ?? {}) as Record<string, unknown>;
  } catch {
    return {};
  }
}
