/**
 * Publishes many messages to JetStream at once: one subscription receives all acks. The library's own publish makes an Error with a
 * stack trace and a timer for each message.
 */
import {
  type ApiError,
  createInbox,
  ErrorCode,
  Events,
  headers,
  type Msg,
  type MsgHdrs,
  type NatsConnection,
  NatsError,
  type PubAck,
} from "nats";
import type { Clock } from "../model/clock.ts";
import { createSlots, type Slotted } from "../model/slots.ts";
import { INBOX_PREFIX } from "./connection.ts";

export interface MessageToPublish {
  readonly subject: string;
  /** JSON text, or its bytes. */
  readonly body: string | Uint8Array;
  readonly headers: Readonly<Record<string, string>>;
}

/** @throws NatsError, as the library's publish does */
export type PipelinedPublish = (message: MessageToPublish) => Promise<PubAck>;

interface Waiting extends Slotted {
  /** Distinguishes the messages that had the same slot: a late answer must not reach the next one. */
  readonly token: string;
  readonly subject: string;
  readonly resolve: (ack: PubAck) => void;
  readonly reject: (error: unknown) => void;
  readonly sentAt: number;
}

const TIMEOUT_MS = 3_000;
const CHECK_MS = 500;

export function createPipelinedPublish(nats: NatsConnection, clock: Clock): PipelinedPublish {
  const inbox = createInbox(INBOX_PREFIX);
  const waiting = createSlots<Waiting>();
  let isSubscribed = false;
  let isChecking = false;
  let last = 0;

  const receive = (message: Msg): void => {
    const [slot, token] = message.subject.slice(inbox.length + 1).split(".");
    const one = waiting.at(Number(slot));
    if (one === undefined || one.token !== token) return;
    waiting.remove(one);
    try {
      one.resolve(ackIn(message));
    } catch (error) {
      one.reject(error);
    }
  };

  /** A server doesn't answer what its user may not publish: it reports that to the connection. */
  const rejectForbidden = async (): Promise<void> => {
    for await (const { type, permissionContext: context } of nats.status()) {
      if (type !== Events.Error || context?.operation !== "publish") continue;
      waiting.each((one) => {
        if (one.subject !== context.subject) return;
        waiting.remove(one);
        one.reject(new NatsError(`permissions violation for publish to ${one.subject}`, ErrorCode.PermissionsViolation));
      });
    }
  };

  const rejectLate = (): void => {
    waiting.each((one) => {
      if (clock.now() - one.sentAt < TIMEOUT_MS) return;
      waiting.remove(one);
      one.reject(new NatsError("no answer in time", ErrorCode.Timeout));
    });
    isChecking = waiting.size() > 0;
    if (isChecking) clock.after(CHECK_MS, rejectLate);
  };

  const subscribe = (): void => {
    nats.subscribe(`${inbox}.>`, { callback: (error, message) => error === null && receive(message) });
    void rejectForbidden();
    isSubscribed = true;
  };

  return ({ subject, body, headers: given }) =>
    new Promise((resolve, reject) => {
      if (!isSubscribed) subscribe();
      const one: Waiting = { slot: 0, token: String(++last), subject, resolve, reject, sentAt: clock.now() };
      waiting.add(one);
      try {
        nats.publish(subject, body, { reply: `${inbox}.${one.slot}.${one.token}`, headers: headersOf(given) });
      } catch (error) {
        waiting.remove(one);
        throw error;
      }
      if (!isChecking) clock.after(CHECK_MS, rejectLate);
      isChecking = true;
    });
}

/** @throws NatsError */
function ackIn(message: Msg): PubAck {
  if (message.headers?.code === 503) throw new NatsError("no responders", ErrorCode.NoResponders);
  const { error, ...ack } = message.json<PubAck & { readonly error?: ApiError }>();
  if (error === undefined) return ack;
  const refused = new NatsError(error.description, String(error.code));
  refused.api_error = error;
  throw refused;
}

function headersOf(given: Readonly<Record<string, string>>): MsgHdrs {
  const made = headers();
  for (const [name, value] of Object.entries(given)) made.set(name, value);
  return made;
}
