/**
 * Tells of consumers that were deleted, by whomever, within moments: what was handed out by one is handed out again by the one
 * that takes its place. Where Posthorn may not listen, pulls and heartbeats find out a few seconds later.
 */
import type { NatsConnection } from "nats";
import { messageOf } from "../model/app-error.ts";
import type { Logger } from "../model/logger.ts";

export interface ConsumerDeletions {
  /** The returned function takes the listener away. */
  on(stream: string, consumer: string, listener: () => void): () => void;
}

const SUBJECT = "$JS.EVENT.ADVISORY.CONSUMER.DELETED";

export function createConsumerDeletions(connection: NatsConnection, logger: Logger): ConsumerDeletions {
  const listeners = new Map<string, Set<() => void>>();
  connection.subscribe(`${SUBJECT}.*.*`, {
    callback(error, { subject }) {
      if (error !== null) return logger.warn({ subject: SUBJECT, error: messageOf(error) }, "deleted consumers are not heard of");
      for (const listener of listeners.get(subject.slice(SUBJECT.length + 1)) ?? []) listener();
    },
  });
  return {
    on(stream, consumer, listener) {
      const name = `${stream}.${consumer}`;
      const all = listeners.get(name) ?? new Set();
      listeners.set(name, all.add(listener));
      return () => {
        all.delete(listener);
        if (all.size === 0) listeners.delete(name);
      };
    },
  };
}
