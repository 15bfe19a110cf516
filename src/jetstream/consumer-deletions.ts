/**
 * Notifies pull consumers that their consumer was deleted, by Posthorn or anybody else, within moments: the consumer that replaces it
 * hands the same messages out again. Where the account does not permit the subscription, pulls and heartbeats find out seconds later.
 */
import type { NatsConnection } from "nats";
import { messageOf } from "../model/app-error.ts";
import type { Logger } from "../model/logger.ts";
import { CONSUMER_DELETIONS, consumerDeletion } from "./api-subjects.ts";

export interface ConsumerDeletions {
  /** @returns a function that removes the listener */
  on(stream: string, consumer: string, listener: () => void): () => void;
}

export function createConsumerDeletions(connection: NatsConnection, logger: Logger): ConsumerDeletions {
  const listeners = new Map<string, Set<() => void>>();
  connection.subscribe(CONSUMER_DELETIONS, {
    callback(error, { subject }) {
      if (error !== null)
        return logger.warn({ subject: CONSUMER_DELETIONS, error: messageOf(error) }, "deleted consumers are not announced");
      for (const listener of listeners.get(subject) ?? []) listener();
    },
  });
  return {
    on(stream, consumer, listener) {
      const subject = consumerDeletion(stream, consumer);
      const all = listeners.get(subject) ?? new Set();
      listeners.set(subject, all.add(listener));
      return () => {
        all.delete(listener);
        if (all.size === 0) listeners.delete(subject);
      };
    },
  };
}
