/**
 * JetStream in memory for one stream with one pull consumer, on a manual clock: what a pull consumer sees of a server. The conformance
 * suite of pull consumers (pull-consumer-conformance.ts) holds it to the real server.
 */
import {
  type ConsumerConfig,
  ErrorCode,
  headers,
  type JetStreamManager,
  type Msg,
  type MsgHdrs,
  type NatsConnection,
  NatsError,
} from "nats";
import { CONSUMER_DELETIONS, consumerDeletion, parseAckSubject, pullSubject } from "../../src/jetstream/api-subjects.ts";
import type { ConnectionState } from "../../src/jetstream/connection.ts";
import type { ConsumerSettings } from "../../src/jetstream/consumers.ts";
import { covers } from "../../src/jetstream/subjects.ts";
import type { Clock } from "../../src/model/clock.ts";

interface Stored {
  readonly sequence: number;
  readonly data: Uint8Array;
  deliveries: number;
  /** Not to be delivered before; infinite once it is acknowledged. */
  availableAt: number;
}

interface Pull {
  readonly inbox: string;
  left: number;
  readonly expiresAt: number;
}

type Callback = (error: Error | null, message: Msg) => void;

export interface FakeJetStream {
  readonly connection: NatsConnection;
  readonly manager: JetStreamManager;
  readonly connectionState: ConnectionState;
  store(text: string): number;
  /** Sequences that are not acknowledged. */
  unacknowledged(): number[];
  /** Messages that pull requests are waiting for. */
  requested(): number;
  /** Whether the consumer exists. */
  hasConsumer(): boolean;
  createConsumer(): void;
  deleteConsumer(): void;
  /** Another consumer takes the name, and nobody is notified. */
  replaceConsumer(): void;
  /** The deliveries that were acknowledged, as `<sequence>.<delivery>`. */
  readonly acked: readonly string[];
  /** The server answers nothing any more, or again. */
  silence(isSilent: boolean): void;
}

const TICK_MS = 100;

/** What the fake's one consumer is, unless told otherwise. */
export const FAKE_CONSUMER = {
  stream: "T_RETRIES",
  consumer: "posthorn-fan-out",
  filterSubject: "t.retries.0._fan-out",
  isWorkQueue: true,
} as const;

/** @param isCreated whether the consumer is there from the start */
export function createFakeJetStream(
  clock: Clock,
  ackWaitMs: number,
  { stream: STREAM, consumer: CONSUMER, filterSubject }: Pick<ConsumerSettings, "stream" | "consumer" | "filterSubject"> = FAKE_CONSUMER,
  isCreated = true,
): FakeJetStream {
  const messages: Stored[] = [];
  const subscriptions = new Map<string, Callback>();
  const acked: string[] = [];
  let pulls: Pull[] = [];
  let created: string | null = isCreated ? "1" : null;
  let config: Partial<ConsumerConfig> = { ack_wait: ackWaitMs * 1e6 };
  let consumerSequence = 0;
  let isSilent = false;
  let heartbeatAt = 0;

  /** Not acknowledged. */
  const stored = (): Stored[] => messages.filter(({ availableAt }) => availableAt !== Number.POSITIVE_INFINITY);

  const handedOut = (): number => stored().filter(({ availableAt }) => availableAt > clock.now()).length;

  const send = (subject: string, reply: string, data: Uint8Array, messageHeaders?: MsgHdrs): void => {
    for (const [pattern, callback] of subscriptions)
      if (covers(pattern, subject)) setImmediate(() => callback(null, { subject, reply, data, headers: messageHeaders } as unknown as Msg));
  };

  const end = (pull: Pull, code: number, description: string): void => {
    const status = headers(code, description);
    status.set("Nats-Pending-Messages", String(pull.left));
    send(pull.inbox, "", new Uint8Array(), status);
  };

  const deliver = (): void => {
    if (created === null || isSilent) return;
    for (const message of messages) {
      const pull = pulls.find(({ left }) => left > 0);
      if (pull === undefined || handedOut() >= (config.max_ack_pending ?? Number.POSITIVE_INFINITY)) break;
      if (message.availableAt > clock.now()) continue;
      message.availableAt = clock.now() + ackWaitMs;
      message.deliveries++;
      pull.left--;
      const reply = `$JS.ACK.${STREAM}.${CONSUMER}.${message.deliveries}.${message.sequence}.${++consumerSequence}.${clock.now()}000000.0`;
      send(pull.inbox, reply, message.data);
    }
    pulls = pulls.filter(({ left }) => left > 0);
  };

  const tick = (): void => {
    if (!isSilent) {
      for (const pull of pulls.filter(({ expiresAt }) => expiresAt <= clock.now())) end(pull, 408, "Request Timeout");
      pulls = pulls.filter(({ expiresAt }) => expiresAt > clock.now());
      if (clock.now() - heartbeatAt >= 2_500) {
        heartbeatAt = clock.now();
        for (const { inbox } of pulls) send(inbox, "", new Uint8Array(), headers(100, "Idle Heartbeat"));
      }
    }
    deliver();
    clock.after(TICK_MS, tick);
  };
  clock.after(TICK_MS, tick);

  const onAck = (subject: string, answer: string): void => {
    const { sequence, deliveries } = parseAckSubject(subject);
    const message = messages.find((one) => one.sequence === sequence);
    if (message === undefined || created === null) return;
    if (answer === "+ACK") {
      acked.push(`${sequence}.${deliveries}`);
      message.availableAt = Number.POSITIVE_INFINITY;
    }
    if (answer === "+WPI") message.availableAt = clock.now() + ackWaitMs;
    if (answer.startsWith("-NAK")) message.availableAt = clock.now() + (JSON.parse(answer.slice(5)) as { delay: number }).delay / 1e6;
    deliver();
  };

  const connection = {
    isClosed: () => false,
    isDraining: () => false,
    flush: () => (isSilent ? new Promise(() => {}) : new Promise<void>((resolve) => setImmediate(resolve))),
    publish(subject: string, payload: string | Uint8Array, options?: { readonly reply?: string }) {
      if (isSilent) return;
      const text = Buffer.from(payload).toString();
      if (subject.startsWith("$JS.ACK.")) return onAck(subject, text);
      if (subject !== pullSubject(STREAM, CONSUMER) || created === null) return;
      const { batch, expires } = JSON.parse(text) as { readonly batch: number; readonly expires: number };
      pulls.push({ inbox: options?.reply ?? "", left: batch, expiresAt: clock.now() + expires / 1e6 });
      deliver();
    },
    subscribe(subject: string, { callback }: { readonly callback: Callback }) {
      subscriptions.set(subject, callback);
      const unsubscribe = (): void => {
        subscriptions.delete(subject);
        // Requests that nobody waits for are void.
        pulls = pulls.filter(({ inbox }) => inbox !== subject);
      };
      const drain = async (): Promise<void> => {
        if (subscriptions.get(subject) !== callback) throw NatsError.errorForCode(ErrorCode.SubClosed);
        unsubscribe();
      };
      return { unsubscribe, drain };
    },
  } as unknown as NatsConnection;

  const notFound = (): NatsError => {
    const error = new NatsError("consumer not found", "404");
    error.api_error = { code: 404, err_code: 10014, description: "consumer not found" };
    return error;
  };
  const createConsumer = (): void => {
    if (created === null) created = String(clock.now());
  };
  const deleteConsumer = (): void => {
    created = null;
    for (const pull of pulls) end(pull, 409, "Consumer Deleted");
    pulls = [];
    for (const message of stored()) message.availableAt = 0;
    if (subscriptions.has(CONSUMER_DELETIONS)) send(consumerDeletion(STREAM, CONSUMER), "", new Uint8Array());
  };
  const manager = {
    consumers: {
      async info() {
        if (created === null) throw notFound();
        const pending = handedOut();
        const counters = { num_pending: stored().length - pending, num_ack_pending: pending, num_waiting: pulls.length };
        return { created, config, ...counters, delivered: {}, ack_floor: {} };
      },
      async add(_stream: string, wanted: Partial<ConsumerConfig>) {
        config = wanted;
        createConsumer();
      },
      async update(_stream: string, _consumer: string, wanted: Partial<ConsumerConfig>) {
        config = wanted;
      },
      delete: async () => deleteConsumer(),
    },
    streams: {
      info: async () => ({
        state: { last_seq: messages.length, subjects: stored().length === 0 ? {} : { [filterSubject ?? ""]: stored().length } },
      }),
    },
  } as unknown as JetStreamManager;

  return {
    connection,
    manager,
    connectionState: { up: true, onReconnect: () => () => {}, onDisconnect: () => () => {} },
    store(text) {
      messages.push({ sequence: messages.length + 1, data: Buffer.from(text), deliveries: 0, availableAt: 0 });
      deliver();
      return messages.length;
    },
    unacknowledged: () => stored().map(({ sequence }) => sequence),
    requested: () => pulls.reduce((sum, { left }) => sum + left, 0),
    hasConsumer: () => created !== null,
    createConsumer,
    deleteConsumer,
    replaceConsumer() {
      created = `${created} replaced`;
    },
    acked,
    silence(silent) {
      isSilent = silent;
    },
  };
}
