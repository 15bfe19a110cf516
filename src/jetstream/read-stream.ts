/**
 * Reads messages of a limits stream in passing: through consumers of its own, which leave nothing behind.
 *
 * F1  It ends where the stream has no more, and not because a pull brought little: over a slow connection a pull brings what
 *     came in time, and of nats-server 2.9 a consumer's num_pending can be too low, which ends pulls early. So the stream
 *     itself is asked for the next message after whatever ended a pull; each time reads on by one at least, or rejects.
 * F2  It passes over nothing. A consumer hands out each message once, to a pull that may have been given up or cut off by
 *     then: what does not follow on what was taken last is read again, through another consumer.
 * F3  It asks a consumer only for messages that are there. nats-server 2.9 leaves a pull unanswered that it has nothing for
 *     when the consumer's num_pending is too high, as after a restart of the server.
 */
import {
  AckPolicy,
  DeliverPolicy,
  type JetStreamManager,
  type MsgHdrs,
  type NatsConnection,
  nanos,
  nuid,
  RequestStrategy,
  type StoredMsg,
} from "nats";
import { parseAckSubject, pullSubject } from "./api-subjects.ts";
import { nextMessage } from "./stored-message.ts";

export interface StreamMessage {
  readonly sequence: number;
  readonly subject: string;
  readonly data: Uint8Array;
  readonly headers: MsgHdrs | undefined;
  /** When the server stored it, milliseconds since the epoch. */
  readonly storedAt: number;
}

export interface ForwardsQuery {
  readonly stream: string;
  /** A pattern within one of the stream's own subjects: older servers take no other filter. */
  readonly subject: string;
  /** Both included. */
  readonly from: number;
  readonly to: number;
  /** So many messages are asked for at once. */
  readonly batch: number;
}

/** Of one pull, so that it arrives in time, and nothing that is asked for meanwhile waits long behind it. */
const MAX_PULL_BYTES = 1024 * 1024;
const PULL_TIMEOUT_MS = 5_000;
/** Removes what a process left behind. */
const FORGOTTEN_AFTER_MS = 30_000;

export async function* readForwards(
  connection: NatsConnection,
  manager: JetStreamManager,
  { stream, subject, from, to, batch }: ForwardsQuery,
): AsyncGenerator<StreamMessage, void> {
  const nextFrom = async (sequence: number): Promise<StoredMsg | null> => {
    const found = sequence > to ? null : await nextMessage(manager, stream, subject, sequence);
    return found === null || found.seq > to ? null : found;
  };
  for (let next = await nextFrom(from); next !== null; ) {
    if (next.seq === to) return yield messageOf(next);
    const { name } = await manager.consumers.add(stream, {
      ...inPassing(),
      filter_subject: subject,
      deliver_policy: DeliverPolicy.StartSequence,
      opt_start_seq: next.seq,
    });
    try {
      for (let taken = 0, isWhole = true; isWhole && next !== null; ) {
        const pulled = await pull(connection, stream, name, batch, taken);
        ({ isWhole } = pulled);
        taken += pulled.messages.length;
        const messages: readonly StreamMessage[] = pulled.messages.length > 0 ? pulled.messages : [messageOf(next)];
        for (const message of messages) {
          if (message.sequence > to) return;
          yield message;
        }
        next = await nextFrom((messages.at(-1)?.sequence ?? next.seq) + 1);
      }
    } finally {
      await manager.consumers.delete(stream, name).catch(() => false);
    }
  }
}

function messageOf({ seq, subject, data, header, time }: StoredMsg): StreamMessage {
  return { sequence: seq, subject, data, headers: header, storedAt: time.getTime() };
}

/** Where the messages of a time (milliseconds since the epoch) and later begin; behind the last when there are none. */
export async function sequenceAt(manager: JetStreamManager, stream: string, time: number): Promise<number> {
  const { name, delivered } = await manager.consumers.add(stream, {
    ...inPassing(),
    deliver_policy: DeliverPolicy.StartTime,
    opt_start_time: new Date(time).toISOString(),
  });
  await manager.consumers.delete(stream, name).catch(() => false);
  return delivered.stream_seq + 1;
}

/** Of a consumer for one reader. The name is part of the request's subject, by which the server permits it. */
const inPassing = () => ({
  name: nuid.next(),
  ack_policy: AckPolicy.None,
  mem_storage: true,
  num_replicas: 1,
  inactive_threshold: nanos(FORGOTTEN_AFTER_MS),
});

/** As the library reads a message's text. */
export function textOf(data: Uint8Array): string {
  return Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString("utf8");
}

interface Pulled {
  readonly messages: readonly StreamMessage[];
  /** Whether it is all that the consumer has handed out, and something: it is worth asking again. */
  readonly isWhole: boolean;
}

/**
 * What the consumer has at hand, at most a batch. A bare request: the library's fetch waits for a whole batch, and may end
 * before it has handed out the last messages (nats 2.29).
 * @param taken how many came before
 */
async function pull(connection: NatsConnection, stream: string, consumer: string, batch: number, taken: number): Promise<Pulled> {
  const answers = await connection.requestMany(
    pullSubject(stream, consumer),
    JSON.stringify({ batch, max_bytes: MAX_PULL_BYTES, no_wait: true }),
    { strategy: RequestStrategy.Timer, maxWait: PULL_TIMEOUT_MS, noMux: true },
  );
  const messages: StreamMessage[] = [];
  for await (const { reply, subject, data, headers } of answers) {
    // A status says that there is no more, or that what comes next is too large.
    if (reply === undefined || (headers?.code ?? 0) > 0) return { messages, isWhole: messages.length > 0 };
    const { sequence, consumerSequence, storedAt } = parseAckSubject(reply);
    if (consumerSequence !== taken + messages.length + 1) break;
    messages.push({ sequence, subject, data, headers, storedAt });
    if (messages.length === batch) return { messages, isWhole: true };
  }
  return { messages, isWhole: false };
}
