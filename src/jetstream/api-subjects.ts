/** Subjects of JetStream's own API, which the server defines. */

/** Asks a pull consumer for messages. */
export function pullSubject(stream: string, consumer: string): string {
  return `$JS.API.CONSUMER.MSG.NEXT.${stream}.${consumer}`;
}

/** Every ack, nak and heartbeat for a consumer's messages. Some servers put domain and account before the stream. */
export function ackFilters(stream: string, consumer: string): readonly string[] {
  return [`$JS.ACK.${stream}.${consumer}.>`, `$JS.ACK.*.*.${stream}.${consumer}.>`];
}

const CONSUMER_DELETED = "$JS.EVENT.ADVISORY.CONSUMER.DELETED";

export const CONSUMER_DELETIONS = `${CONSUMER_DELETED}.*.*`;

export function consumerDeletion(stream: string, consumer: string): string {
  return `${CONSUMER_DELETED}.${stream}.${consumer}`;
}

/** The subject that a message from a consumer is acknowledged on. It carries the message's metadata. */
export interface AckSubject {
  readonly stream: string;
  readonly consumer: string;
  /** 1 for the first delivery. */
  readonly deliveries: number;
  readonly sequence: number;
  /** Counts the messages that the consumer has handed out, from 1. */
  readonly consumerSequence: number;
  /** Milliseconds since the epoch. */
  readonly storedAt: number;
  /** Messages that the consumer has not handed out yet. */
  readonly pending: number;
}

/** `$JS.ACK.<stream>.<consumer>.<deliveries>.<stream seq>.<consumer seq>.<ns>.<pending>`, or with domain and account after ACK. */
export function parseAckSubject(reply: string): AckSubject {
  const tokens = reply.split(".");
  const at = tokens.length > 9 ? 4 : 2;
  return {
    stream: tokens[at] ?? "",
    consumer: tokens[at + 1] ?? "",
    deliveries: Number(tokens[at + 2]),
    sequence: Number(tokens[at + 3]),
    consumerSequence: Number(tokens[at + 4]),
    // Nanoseconds exceed 2^53: the last six digits are cut off as text.
    storedAt: Number((tokens[at + 5] ?? "").slice(0, -6)),
    pending: Number(tokens[at + 6] ?? 0),
  };
}
