/** Messages between replicas about retries that are due now (retry-now.ts), over plain NATS. */
import type { NatsConnection } from "nats";
import type { Subjects } from "../jetstream/subjects.ts";
import { messageOf } from "../model/app-error.ts";
import type { Logger } from "../model/logger.ts";

export interface RetryChannel {
  /** @param makeDue makes what waits in the app's order due, and returns how much; null when this replica doesn't own the queues */
  answerAsOwner(makeDue: (app: string) => number | null): void;
  /** Null: there is no owner at the moment. */
  askOwner(app: string): Promise<number | null>;
  /** These messages of the retries stream are stored elsewhere. */
  announceMoved(sequences: readonly number[]): void;
  onMoved(moved: (sequences: ReadonlySet<number>) => void): void;
}

const TIMEOUT_MS = 2_000;

export function createRetryChannel(connection: NatsConnection, { retryNow, movedRetries }: Subjects, logger: Logger): RetryChannel {
  const subscribe = (subject: string, handle: (content: unknown, respond: (answer: unknown) => void) => void): void => {
    connection.subscribe(subject, {
      callback(error, message) {
        try {
          if (error !== null) throw error;
          handle(message.json(), (answer) => message.respond(JSON.stringify(answer)));
        } catch (problem) {
          logger.warn({ subject, error: messageOf(problem) }, "a message of another replica can't be used");
        }
      },
    });
  };

  return {
    answerAsOwner(makeDue) {
      subscribe(retryNow, (app, respond) => {
        const count = makeDue(String(app));
        if (count !== null) respond(count);
      });
    },
    async askOwner(app) {
      try {
        return (await connection.request(retryNow, JSON.stringify(app), { timeout: TIMEOUT_MS })).json<number>();
      } catch {
        return null;
      }
    },
    announceMoved(sequences) {
      connection.publish(movedRetries, JSON.stringify(sequences));
    },
    onMoved(moved) {
      subscribe(movedRetries, (sequences) => moved(new Set(sequences as number[])));
    },
  };
}
