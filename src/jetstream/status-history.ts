/** Reads the status stream for people: what has happened, newest first, and what happens now. */

import type { JetStreamManager, NatsConnection } from "nats";
import { epochMsOf } from "../model/rfc3339.ts";
import type { StatusEvent } from "../model/status-event.ts";
import { orUnreachable } from "./or-unreachable.ts";
import { readBackwards } from "./read-newest.ts";
import { type StreamMessage, textOf } from "./read-stream.ts";
import type { Subjects } from "./subjects.ts";

/** What an event is about: the first part of its type. */
export type StatusTopic = "integration" | "circuit" | "delivery";

export interface StatusHistoryFilter {
  /** Null: all apps. */
  readonly app: string | null;
  readonly topics: readonly StatusTopic[];
}

export interface PastStatusEvent {
  /** Its number in the stream. */
  readonly sequence: number;
  readonly event: StatusEvent;
}

export interface StatusHistory {
  /** @param before only events with a lower sequence; null: from the newest. @returns `next` is what to give as `before`. */
  list(
    filter: StatusHistoryFilter,
    before: number | null,
    limit: number,
  ): Promise<{ readonly items: readonly PastStatusEvent[]; readonly next: number | null }>;
  /** Events from now on, as this connection sees them. @returns ends it. */
  follow(listener: (event: StatusEvent) => void): () => void;
}

export function createStatusHistory(
  connection: NatsConnection,
  manager: JetStreamManager,
  { streams, statusFilter, allStatus }: Subjects,
): StatusHistory {
  return {
    async list({ app, topics }, before, limit) {
      const page = {
        stream: streams.status,
        subjects: topics.map((topic) => statusFilter(topic, app)),
        ...{ before, limit, take: ({ data }: StreamMessage) => read(textOf(data)) },
      };
      const { items, next } = await orUnreachable(readBackwards(connection, manager, page));
      return { items: items.map(({ sequence, value }) => ({ sequence, event: value })), next };
    },

    follow(listener) {
      const subscription = connection.subscribe(allStatus, {
        callback: (error, message) => {
          const event = error === null ? read(message.string()) : null;
          if (event !== null) listener(event);
        },
      });
      return () => subscription.unsubscribe();
    },
  };
}

/** Null for what somebody else has put there. */
function read(json: string): StatusEvent | null {
  try {
    const event = JSON.parse(json) as Partial<Record<string, unknown>> | null;
    const { app } = (event?.["data"] ?? {}) as { readonly app?: unknown };
    const texts = [event?.["id"], event?.["source"], event?.["type"], event?.["subject"], app];
    const isWhole = texts.every((text) => typeof text === "string") && !Number.isNaN(epochMsOf(String(event?.["time"])));
    return isWhole ? (event as unknown as StatusEvent) : null;
  } catch {
    return null;
  }
}
