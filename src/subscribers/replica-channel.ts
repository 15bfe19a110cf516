/** Questions to the owner of the queues, and news among all replicas, over plain NATS. Contents are JSON. */
import type { Msg, NatsConnection, NatsError } from "nats";
import { messageOf } from "../model/app-error.ts";
import type { Logger } from "../model/logger.ts";

export interface ReplicaChannel {
  /** @param answer null, or a promise of it, when this replica does not own the queues */
  answerAsOwner(subject: string, answer: (question: unknown) => unknown): void;
  /** Null: there is no owner at the moment. */
  askOwner<Answer>(subject: string, question?: unknown): Promise<Answer | null>;
  announce(subject: string, news: unknown): void;
  onNews(subject: string, receive: (news: unknown) => void): void;
}

const TIMEOUT_MS = 2_000;

export function createReplicaChannel(connection: NatsConnection, logger: Logger): ReplicaChannel {
  const subscribe = (subject: string, handle: (content: unknown, respond: (answer: unknown) => void) => unknown): void => {
    const receive = async (error: NatsError | null, message: Msg): Promise<void> => {
      try {
        if (error !== null) throw error;
        // A replica of an older version asks without content.
        await handle(message.data.length === 0 ? null : message.json(), (answer) => message.respond(JSON.stringify(answer)));
      } catch (problem) {
        logger.warn({ subject, error: messageOf(problem) }, "a message of another replica can't be used");
      }
    };
    connection.subscribe(subject, { callback: (error, message) => void receive(error, message) });
  };

  return {
    answerAsOwner(subject, answer) {
      subscribe(subject, async (question, respond) => {
        const found = await answer(question);
        if (found !== null) respond(found);
      });
    },
    async askOwner<Answer>(subject: string, question: unknown = null) {
      try {
        return (await connection.request(subject, JSON.stringify(question), { timeout: TIMEOUT_MS })).json<Answer>();
      } catch {
        return null;
      }
    },
    announce: (subject, news) => connection.publish(subject, JSON.stringify(news)),
    onNews: subscribe,
  };
}
