/** Reads the status stream for people: past events, newest first, and new ones as they happen. */

import type { JetStreamManager, NatsConnection } from "nats";
import { epochMsOf } from "../model/rfc3339.ts";
import type { StatusEvent, StatusTopic } from "../model/status-event.ts";
import { orUnreachable } from "./or-unreachable.ts";
import { readBackwards } from "./read-newest.ts";
import { type StreamMessage, textOf } from "./read-stream.ts";
import type { Subjects } from "./subjects.ts";

export interface StatusHistoryFilter {
  /** Null: all apps. */
  readonly app: string | null;
  /** Only events about this organization, which those of circuits and apps are not; null: all. */
  readonly organizationId?: string | null;
  readonly topics: readonly StatusTopic[];
  /** Milliseconds since the epoch, by the server's clock; the start is included, the end is not. Null: open. */
  readonly start?: number | null;
  readonly end?: number | null;
}

export interface PastStatusEvent {
  /** Its sequence in the stream. */
  readonly sequence: number;
  readonly event: StatusEvent;
}

export interface StatusHistory {
  /** @param before only events with a lower sequence; null: from the newest. @returns `next` is the `before` of the next page */
  list(
    filter: StatusHistoryFilter,
    before: number | null,
    limit: number,
  ): Promise<{ readonly items: readonly PastStatusEvent[]; readonly next: number | null }>;
  /** Passes on events from now on, as this connection receives them: none that are published while it is down. */
  follow(listener: (event: StatusEvent) => void): Following;
}

export interface Following {
  /** Resolves when the server has the subscription. Rejects when the connection is lost before. */
  confirm(): Promise<void>;
  end(): void;
}

export function createStatusHistory(
  connection: NatsConnection,
  manager: JetStreamManager,
  { streams, statusFilters, allStatus }: Subjects,
): StatusHistory {
  return {
    async list({ app, organizationId = null, topics, start, end }, before, limit) {
      const isWithin = ({ storedAt }: StreamMessage): boolean => storedAt >= (start ?? 0) && storedAt < (end ?? Number.POSITIVE_INFINITY);
      const ofOrganization = (event: StatusEvent | null): StatusEvent | null => {
        const { organization_id: found } = (event?.data ?? {}) as { readonly organization_id?: string };
        return organizationId === null || found === organizationId ? event : null;
      };
      const page = {
        stream: streams.status,
        subjects: topics.flatMap((topic) => statusFilters(topic, app)),
        ...{ before, limit, take: (message: StreamMessage) => (isWithin(message) ? ofOrganization(read(textOf(message.data))) : null) },
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
      return { confirm: () => connection.flush(), end: () => subscription.unsubscribe() };
    },
  };
}

/** Null for a message that is not a status event. */
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
