/**
 * Broadcasts to all replicas the attempts that each counted for circuits: plain messages on `<prefix>.attempt-counts`, which no stream
 * keeps. A lost message is made up for by the next.
 */
import type { NatsConnection } from "nats";
import type { AttemptCounts } from "../delivery/circuit/ports.ts";
import { messageOf } from "../model/app-error.ts";
import type { Logger } from "../model/logger.ts";
import type { ConnectionState } from "./connection.ts";
import type { Subjects } from "./subjects.ts";

export interface FailureExchange {
  broadcast(counts: readonly AttemptCounts[]): void;
  /** @param receive gets the counts of other replicas */
  subscribe(receive: (replica: string, counts: readonly AttemptCounts[]) => void): void;
}

interface Wire {
  readonly replica: string;
  /** App, attempts, failures, revision. */
  readonly counts: ReadonlyArray<readonly [string, number, number, number]>;
}

/** Keeps a message far below the size that a server accepts. */
const MAX_APPS_PER_MESSAGE = 1_000;

export function createFailureExchange(
  connection: NatsConnection,
  state: ConnectionState,
  { attemptCounts: subject }: Subjects,
  replica: string,
  logger: Logger,
): FailureExchange {
  return {
    broadcast(counts) {
      // Timers call this also while the process stops, when nobody could catch an error.
      if (!state.up || connection.isClosed() || connection.isDraining()) return;
      for (let from = 0; from < counts.length; from += MAX_APPS_PER_MESSAGE) {
        const some = counts.slice(from, from + MAX_APPS_PER_MESSAGE);
        const wire: Wire = {
          replica,
          counts: some.map(({ app, attempts, failures, revision }) => [app, attempts, failures, revision]),
        };
        connection.publish(subject, JSON.stringify(wire));
      }
    },

    subscribe(receive) {
      connection.subscribe(subject, {
        callback(error, message) {
          try {
            if (error !== null) throw error;
            const wire = message.json<Wire>();
            if (wire.replica === replica) return;
            receive(
              wire.replica,
              wire.counts.map(([app, attempts, failures, revision]) => ({ app, attempts, failures, revision })),
            );
          } catch (problem) {
            logger.warn({ subject, error: messageOf(problem) }, "counts of another replica can't be used");
          }
        },
      });
    },
  };
}
