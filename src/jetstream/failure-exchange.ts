/**
 * What replicas tell each other of the attempts that they counted for circuits: plain messages on `<prefix>.attempt-counts`,
 * kept nowhere. One that is lost is told anew with the next.
 */
import type { NatsConnection } from "nats";
import type { AttemptCounts } from "../delivery/circuit/ports.ts";
import { messageOf } from "../model/app-error.ts";
import type { Logger } from "../model/logger.ts";
import type { ConnectionState } from "./connection.ts";
import type { Subjects } from "./subjects.ts";

export interface AttemptCountsChannel {
  tell(counts: readonly AttemptCounts[]): void;
  /** @param heard is given what other replicas tell. */
  listen(heard: (replica: string, counts: readonly AttemptCounts[]) => void): void;
}

interface Wire {
  readonly replica: string;
  /** App, attempts, failures, revision. */
  readonly counts: ReadonlyArray<readonly [string, number, number, number]>;
}

/** Of one message, far below what a server takes. */
const MAX_APPS = 1_000;

export function createFailureExchange(
  connection: NatsConnection,
  state: ConnectionState,
  { attemptCounts: subject }: Subjects,
  replica: string,
  logger: Logger,
): AttemptCountsChannel {
  return {
    tell(counts) {
      // Called by timers, also while the process stops: there is nobody to throw to.
      if (!state.up || connection.isClosed() || connection.isDraining()) return;
      for (let from = 0; from < counts.length; from += MAX_APPS) {
        const some = counts.slice(from, from + MAX_APPS);
        const wire: Wire = { replica, counts: some.map(({ app, attempts, failures, revision }) => [app, attempts, failures, revision]) };
        connection.publish(subject, JSON.stringify(wire));
      }
    },

    listen(heard) {
      connection.subscribe(subject, {
        callback(error, message) {
          try {
            if (error !== null) throw error;
            const wire = message.json<Wire>();
            if (wire.replica === replica) return;
            heard(
              wire.replica,
              wire.counts.map(([app, attempts, failures, revision]) => ({ app, attempts, failures, revision })),
            );
          } catch (problem) {
            logger.warn({ subject, error: messageOf(problem) }, "what another replica counted can't be used");
          }
        },
      });
    },
  };
}
