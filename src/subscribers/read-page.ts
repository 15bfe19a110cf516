/** Reads messages of a limits stream in passing: through a consumer of its own, which leaves nothing behind. */
import type { JetStreamClient, JsMsg, OrderedConsumerOptions } from "nats";

export interface MessagePage {
  readonly messages: readonly JsMsg[];
  /** How many more there were behind them. */
  readonly left: number;
}

const EXPIRES_MS = 2_000;

/** @param from where to begin, and what to filter by. */
export async function readPage(
  jetStream: JetStreamClient,
  stream: string,
  from: Partial<OrderedConsumerOptions>,
  limit: number,
): Promise<MessagePage> {
  const consumer = await jetStream.consumers.get(stream, from);
  try {
    const { num_pending: waiting } = await consumer.info();
    const wanted = Math.min(limit, waiting);
    const messages: JsMsg[] = [];
    if (wanted === 0) return { messages, left: 0 };
    for await (const message of await consumer.fetch({ max_messages: wanted, expires: EXPIRES_MS })) messages.push(message);
    return { messages, left: waiting - messages.length };
  } finally {
    await consumer.delete().catch(() => false);
  }
}
