/** Publishes events at a steady rate and knows which of them JetStream has acknowledged. Each is tried until it is. */
import { connect, type JetStreamClient } from "nats";
import type { Chance } from "./random.ts";

export interface AckedEvent {
  readonly type: string;
  readonly at: number;
}

export interface ChaosPublisher {
  /** By id. */
  readonly acked: ReadonlyMap<string, AckedEvent>;
  /** How many were published, acknowledged or not. */
  published(): number;
  /** Publishes events of another type as well, at the same rate. @returns stops it */
  also(type: string): () => void;
  /** Stops publishing and waits until everything published is acknowledged. */
  finish(): Promise<void>;
  close(): Promise<void>;
}

const TYPES = ["issue.created", "issue.resolved", "comment.created"];
/** One event in so many is of this type; the ordered app gets no others, as it gets one delivery after the other. */
export const ORDERED_TYPE = "order.placed";
const ORDERED_EVERY = 10;
const TICK_MS = 20;
const ACK_TIMEOUT_MS = 2_000;
const TRY_AGAIN_MS = 200;

export async function startPublisher(url: string, prefix: string, eventsPerSecond: number, chance: Chance): Promise<ChaosPublisher> {
  const connection = await connect({ servers: url.split(","), maxReconnectAttempts: -1, reconnectTimeWait: 100 });
  const jetStream: JetStreamClient = connection.jetstream();
  const acked = new Map<string, AckedEvent>();
  const underWay = new Set<Promise<void>>();
  let published = 0;
  let rounds = 0;
  let due = 0;

  const publish = async (id: string, type: string): Promise<void> => {
    const body = JSON.stringify({ id, organization_id: "42", data: { n: published, text: "x".repeat(200) } });
    for (;;) {
      try {
        await jetStream.publish(`${prefix}.events.${type}`, body, { msgID: id, timeout: ACK_TIMEOUT_MS });
        acked.set(id, { type, at: performance.now() });
        return;
      } catch {
        await new Promise((resolve) => setTimeout(resolve, TRY_AGAIN_MS));
      }
    }
  };

  const others = new Set<string>();
  const publishNext = (type: string): void => {
    const work = publish(`chaos-${++published}`, type);
    underWay.add(work);
    void work.finally(() => underWay.delete(work));
  };
  const timer = setInterval(() => {
    due += (eventsPerSecond * TICK_MS) / 1000;
    for (; due >= 1; due--) {
      publishNext(++rounds % ORDERED_EVERY === 0 ? ORDERED_TYPE : chance.pick(TYPES));
      for (const type of others) publishNext(type);
    }
  }, TICK_MS);

  return {
    acked,
    published: () => published,
    also(type) {
      others.add(type);
      return () => void others.delete(type);
    },
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
