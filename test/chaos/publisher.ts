/** Publishes events at a steady rate and knows which of them JetStream has acknowledged. Each is tried until it is. */
import { connect, type JetStreamClient } from "nats";
import type { Chance } from "./random.ts";

export interface ChaosPublisher {
  /** By id: when the ack came. */
  readonly acked: ReadonlyMap<string, number>;
  /** Stops publishing and waits until everything published is acknowledged. */
  finish(): Promise<void>;
  close(): Promise<void>;
}

const TYPES = ["issue.created", "issue.resolved", "comment.created"];
const TICK_MS = 20;
const ACK_TIMEOUT_MS = 2_000;
const TRY_AGAIN_MS = 200;

export async function startPublisher(url: string, prefix: string, eventsPerSecond: number, chance: Chance): Promise<ChaosPublisher> {
  const connection = await connect({ servers: url.split(","), maxReconnectAttempts: -1, reconnectTimeWait: 100 });
  const jetStream: JetStreamClient = connection.jetstream();
  const acked = new Map<string, number>();
  const underWay = new Set<Promise<void>>();
  let published = 0;
  let due = 0;

  const publish = async (id: string, type: string): Promise<void> => {
    const body = JSON.stringify({ id, organization_id: "42", data: { n: published, text: "x".repeat(200) } });
    for (;;) {
      try {
        await jetStream.publish(`${prefix}.events.${type}`, body, { msgID: id, timeout: ACK_TIMEOUT_MS });
        acked.set(id, performance.now());
        return;
      } catch {
        await new Promise((resolve) => setTimeout(resolve, TRY_AGAIN_MS));
      }
    }
  };

  const timer = setInterval(() => {
    due += (eventsPerSecond * TICK_MS) / 1000;
    for (; due >= 1; due--) {
      const work = publish(`chaos-${++published}`, chance.pick(TYPES));
      underWay.add(work);
      void work.finally(() => underWay.delete(work));
    }
  }, TICK_MS);

  return {
    acked,
    async finish() {
      clearInterval(timer);
      await Promise.all(underWay);
    },
    async close() {
      clearInterval(timer);
      await connection.close();
    },
  };
}
