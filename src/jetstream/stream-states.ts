/** The streams with their sizes and limits, read from the server. */
import type { JetStreamManager } from "nats";
import { epochMsOf } from "../model/rfc3339.ts";
import { unlessNotFound } from "./nats-errors.ts";
import { orUnreachable } from "./or-unreachable.ts";
import type { Subjects } from "./subjects.ts";

export interface StreamState {
  readonly purpose: "events" | "retries" | "parked" | "dead-letters" | "status" | "audit";
  readonly name: string;
  readonly messages: number;
  readonly bytes: number;
  /** Null limits: none. */
  readonly maxMessages: number | null;
  readonly maxBytes: number | null;
  readonly maxAgeMs: number | null;
  /** When the oldest message was stored, milliseconds since the epoch; null: the stream is empty. */
  readonly oldestAt: number | null;
  readonly replicas: number;
}

/** A stream that is missing is left out. @throws AppError NATS_UNREACHABLE */
export type ReadStreamStates = () => Promise<readonly StreamState[]>;

export function createReadStreamStates(manager: JetStreamManager, { streams, audit }: Subjects): ReadStreamStates {
  const names = {
    ...{ events: streams.events, retries: streams.retries, parked: streams.parked },
    ...{ "dead-letters": streams.deadLetters, status: streams.status, audit: audit.name },
  } as const;

  const read = async (purpose: StreamState["purpose"]): Promise<StreamState | null> => {
    const found = await orUnreachable(unlessNotFound(manager.streams.info(names[purpose])));
    if (found === null) return null;
    const { config, state } = found;
    return {
      purpose,
      name: names[purpose],
      messages: state.messages,
      bytes: state.bytes,
      maxMessages: limit(config.max_msgs),
      maxBytes: limit(config.max_bytes),
      maxAgeMs: limit(config.max_age / 1e6),
      oldestAt: state.messages === 0 ? null : epochMsOf(state.first_ts),
      replicas: config.num_replicas,
    };
  };

  return async () => {
    const purposes = Object.keys(names) as Array<StreamState["purpose"]>;
    return (await Promise.all(purposes.map(read))).filter((state) => state !== null);
  };
}

function limit(value: number): number | null {
  return value > 0 ? value : null;
}
