/**
 * Which events a mail was sent for, in a KV bucket that all mailers share: it outlives restarts, and a claim is made by one
 * of them. A claim goes before its mail: a mailer that dies in between has sent one mail or none, never two.
 */
import { type KV, type NatsConnection, NatsError } from "nats";

export interface MailLedger {
  /** What became of the event's mail so far; null when nobody has claimed it. */
  stateOf(eventId: string): Promise<string | null>;
  /** False when somebody else has it. */
  claim(eventId: string): Promise<boolean>;
  note(eventId: string, state: "sent" | "refused" | "unknown" | "failed"): Promise<void>;
  /** The mail was surely not sent; it is tried again. */
  release(eventId: string): Promise<void>;
}

/** Longer than the status stream keeps an event: what could come again is still known. */
const KEPT_MS = 31 * 86_400_000;
/** JetStream's "wrong last sequence". */
const WRONG_LAST_SEQUENCE = 10071;

export async function openMailLedger(connection: NatsConnection, bucketName: string): Promise<MailLedger> {
  const bucket: KV = await connection.jetstream().views.kv(bucketName, { history: 1, ttl: KEPT_MS });
  // Event ids have colons, keys can't.
  const keyOf = (eventId: string): string => eventId.replaceAll(":", ".");
  return {
    async stateOf(eventId) {
      const entry = await bucket.get(keyOf(eventId));
      return entry?.operation === "PUT" ? entry.string() : null;
    },
    async claim(eventId) {
      try {
        await bucket.create(keyOf(eventId), "sending");
        return true;
      } catch (error) {
        if (error instanceof NatsError && error.api_error?.err_code === WRONG_LAST_SEQUENCE) return false;
        throw error;
      }
    },
    note: async (eventId, state) => void (await bucket.put(keyOf(eventId), state)),
    release: (eventId) => bucket.delete(keyOf(eventId)),
  };
}
