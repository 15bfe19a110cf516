/**
 * Reads parked queues without a consumer: message by message, in the order in which they were stored. Nothing here counts as a
 * redelivery, and a queue costs nothing while nobody reads it.
 *
 * BACKLOG-1  A suspect (poison-limit.ts) is counted before it is decoded. One whose decoding kills the process goes to dead letters as it is.
 */
import type { JetStreamManager, NatsConnection, StoredMsg } from "nats";
import { expiredAfter } from "../../delivery/disposition.ts";
import type { GiveUp } from "../../delivery/give-up.ts";
import type { HandledMessage, MessageRef, ParkedQueue, UnhandledMessage } from "../../delivery/ports.ts";
import type { SkipDelivered } from "../../delivery/skip-delivered.ts";
import type { StopKeys } from "../../delivery/stop-keys.ts";
import { headerOf } from "../../jetstream/read-stored-event.ts";
import { FEW_OTHERS, readSubject, type SubjectQuery } from "../../jetstream/read-subject.ts";
import { deleteMessage, messageAt } from "../../jetstream/stored-message.ts";
import { countBySubject, type SubjectState, subjectState } from "../../jetstream/subject-counts.ts";
import { mayLoseMessages } from "../../jetstream/subject-index.ts";
import type { Subjects } from "../../jetstream/subjects.ts";
import { messageOf } from "../../model/app-error.ts";
import type { Clock } from "../../model/clock.ts";
import type { Delivery } from "../../model/delivery.ts";
import { type BlockedBy, decodeDeliveryMessage } from "../../model/delivery-message.ts";
import { STOPS } from "../../model/key-stop.ts";
import type { PoisonLimit } from "./poison-limit.ts";

export interface ParkedDelivery {
  readonly message: HandledMessage;
  readonly source: MessageRef;
  /** When the server stored it, milliseconds since the epoch. */
  readonly storedAt: number;
  readonly delivery: Delivery;
  /** Not to be attempted before, milliseconds since the epoch; null: when its turn comes. */
  readonly dueAt: number | null;
  /** The delivery is a dead letter, which stops its key. */
  readonly blockedBy: BlockedBy | undefined;
}

export type Backlog = ReturnType<typeof createBacklog>;

export interface BacklogDependencies {
  readonly connection: NatsConnection;
  readonly manager: JetStreamManager;
  readonly names: Subjects;
  readonly giveUp: GiveUp;
  readonly skipDelivered: SkipDelivered;
  readonly poisonLimit: Pick<PoisonLimit, "reading">;
  readonly clock: Clock;
}

/** Which of a queue's deliveries are read. */
export interface BacklogQuery extends Pick<SubjectQuery, "from" | "to" | "state" | "mostOthers"> {
  /** Counts the reading (BACKLOG-1); that of suspects when absent. */
  readonly reading?: PoisonLimit["reading"];
}

/** GIVEUP-3: so many deliveries that nobody decodes it. */
const NEVER_DECODED = Number.POSITIVE_INFINITY;

export function createBacklog({ connection, manager, names, giveUp, skipDelivered, poisonLimit, clock }: BacklogDependencies) {
  const stream = names.streams.parked;

  const remove = ({ sequence }: Pick<MessageRef, "sequence">): Promise<void> => deleteMessage(manager, stream, sequence);

  const giveUpUnread = async (message: StoredMsg, deliveries: number, reason: "invalid" | "redelivered", error: string): Promise<null> => {
    await giveUp.message(rawOf(message, stream, deliveries), reason, error, names.parseParked(message.subject)?.app ?? null);
    await remove({ sequence: message.seq });
    return null;
  };

  /** Null for what could not be read, which is in dead letters then. */
  const decode = async (message: StoredMsg, reading = poisonLimit.reading): Promise<ParkedDelivery | null> => {
    const source = { stream, sequence: message.seq };
    const handOut = reading(source);
    const poison = (await handOut?.begin()) ?? null;
    if (poison !== null) return giveUpUnread(message, NEVER_DECODED, "redelivered", poison);
    let stored: ReturnType<typeof decodeDeliveryMessage>;
    try {
      stored = decodeDeliveryMessage(message.string());
    } catch (error) {
      return giveUpUnread(message, 0, "invalid", messageOf(error));
    } finally {
      handOut?.end();
    }
    const { delivery, dueAt, blockedBy } = stored;
    return { message: handled(message), source, storedAt: message.time.getTime(), delivery, dueAt, blockedBy };
  };

  /** A message that can't be read goes to dead letters. */
  async function* read(queue: ParkedQueue, { reading, ...within }: BacklogQuery = {}): AsyncGenerator<ParkedDelivery, void> {
    const subject = names.parked(queue.app, queue.installationUuid);
    for await (const message of readSubject(connection, manager, { stream, subject, ...within })) {
      const parked = await decode(message, reading);
      if (parked !== null) yield parked;
    }
  }

  return {
    read,
    /** A lost one (SUBJECT-1) is found among few others. */
    async first(queue: ParkedQueue, query: BacklogQuery = { mostOthers: FEW_OTHERS }): Promise<ParkedDelivery | null> {
      for await (const parked of read(queue, query)) return parked;
      return null;
    },

    /** @param reading as in a query */
    async at(sequence: number, reading?: PoisonLimit["reading"]): Promise<ParkedDelivery | null> {
      const message = await messageAt(manager, stream, sequence);
      return message === null ? null : decode(message, reading);
    },

    /** The app's queues that hold something: installation (null: the app's own queue; STOPS: what stops its keys) → messages. */
    async queuesOf(app: string): Promise<Map<string | null, number>> {
      const filters = [...names.parkedFilters(app), names.parked(app, STOPS)];
      const found = await Promise.all(filters.map(async (filter) => [...(await countBySubject(manager, stream, filter))]));
      return new Map(found.flat().map(([subject, count]) => [names.parseParked(subject)?.installationUuid ?? null, count]));
    },

    /** Takes a delivery that is done out of its queue. */
    remove: ({ source }: { readonly source: Pick<MessageRef, "sequence"> }): Promise<void> => remove(source),

    /**
     * Sends to dead letters what was first parked longer ago than `maxAgeMs`.
     * @param stopKeys stops the keys of those that are ordered
     * @param state what the queue held a moment ago
     * @returns how many
     */
    async expire(queue: ParkedQueue, maxAgeMs: number, stopKeys: StopKeys, state?: SubjectState): Promise<number> {
      let expired = 0;
      /** @returns the sequence of the first that is younger */
      const expireIn = async (query: BacklogQuery): Promise<number | null> => {
        for await (const { delivery, source } of read(queue, query)) {
          const ageMs = clock.now() - (delivery.firstParkedAt ?? clock.now());
          if (ageMs <= maxAgeMs) return source.sequence;
          if (await skipDelivered(delivery)) await stopKeys.done(delivery, source);
          else {
            const deadLetter = await giveUp.delivery({ delivery, reason: "expired", error: expiredAfter(ageMs) }, source);
            await stopKeys.givenUp(delivery, deadLetter, source);
            expired++;
          }
          await remove(source);
        }
        return null;
      };
      const younger = await expireIn({ state });
      // Lost ones would come after the younger ones (SUBJECT-1), and are as old as what has expired before those.
      if (younger !== null && expired > 0 && mayLoseMessages(connection)) await expireIn({ to: younger - 1, mostOthers: FEW_OTHERS });
      return expired;
    },

    /** Deliveries waiting in the queue. */
    async count(queue: ParkedQueue): Promise<number> {
      return (await subjectState(manager, stream, names.parked(queue.app, queue.installationUuid))).count;
    },
  };
}

/** As a consumer would hand it out: read without one, it was never handed out. */
function handled({ subject, seq: sequence, header }: StoredMsg, deliveries = 0): HandledMessage {
  return { subject, consumer: "", sequence, deliveries, header: (name) => headerOf(header, name) };
}

function rawOf(message: StoredMsg, stream: string, deliveries: number): UnhandledMessage {
  return {
    ...handled(message, deliveries),
    stream,
    data: message.data,
    storedAt: message.time.getTime(),
    headers: () => headersOf(message.header),
  };
}

function headersOf(header: StoredMsg["header"]): Record<string, string> {
  return Object.fromEntries([...(header ?? [])].map(([name, values]) => [name, values[0] ?? ""]));
}
