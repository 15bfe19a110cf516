/** Private servers and a receiver for one benchmark, and the events that are published in it. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect, type JetStreamManager, type NatsConnection } from "nats";
import { startNatsServer, startRedisServer } from "../../scripts/servers.mjs";
import type { Server } from "../../test/support/servers.ts";
import { type Receiver, startReceiver } from "./start-receiver.ts";
import { monotonicUs } from "./usage.ts";

export interface Workload {
  readonly destinations: number;
  readonly bodyBytes: number;
  /** Deliveries of one event. */
  readonly fanOut: number;
}

export interface World {
  readonly nats: Server;
  readonly redis: Server;
  readonly receiver: Receiver;
  readonly connection: NatsConnection;
  readonly manager: JetStreamManager;
  /** Removed at the end. */
  readonly folder: string;
  /** A fresh prefix and its stream's name; what the ones before have left is deleted. */
  nextStream(): { readonly prefix: string; readonly name: string };
  /** Stores so many events, each acknowledged by the server. */
  publish(workload: Workload, events: number): Promise<void>;
  /** Publishes at a steady rate. */
  publishAtRate(workload: Workload, eventsPerSecond: number, seconds: number): Promise<number>;
  clean(): Promise<void>;
  stop(): Promise<void>;
}

const WINDOW = 500;
const TICK_MS = 2;

export function uuidOf(installation: number): string {
  return `00000000-0000-4000-8000-${String(installation).padStart(12, "0")}`;
}

export function bodyOf(bytes: number, organizationId: string, sentAtUs: number): string {
  const head = `{"organization_id":"${organizationId}","data":{"sent_at":${sentAtUs},"text":"`;
  return `${head}${"x".repeat(Math.max(0, bytes - head.length - 3))}"}}`;
}

export async function createWorld(destinations: number): Promise<World> {
  const [nats, redis, receiver] = await Promise.all([startNatsServer(), startRedisServer(), startReceiver(destinations)]);
  const connection = await connect({ servers: nats.url });
  const jetStream = connection.jetstream();
  const manager = await connection.jetstreamManager();
  const folder = mkdtempSync(join(tmpdir(), "posthorn-bench-"));
  let streams = 0;
  let prefix = "";
  let published = 0;

  const next = ({ destinations: all, fanOut, bodyBytes }: Workload): string => {
    const organizations = Math.max(1, Math.floor(all / fanOut));
    return bodyOf(bodyBytes, String(published++ % organizations), monotonicUs());
  };

  return {
    nats,
    redis,
    receiver,
    connection,
    manager,
    folder,
    nextStream() {
      prefix = `bench-${++streams}`;
      return { prefix, name: `${prefix.toUpperCase().replaceAll("-", "_")}_EVENTS` };
    },
    async publish(workload, events) {
      // The last of each window is acknowledged, and so those before it: one connection's messages are stored in order.
      for (let sent = 1; sent <= events; sent++) {
        const subject = `${prefix}.events.issue.created`;
        if (sent % WINDOW === 0 || sent === events) await jetStream.publish(subject, next(workload));
        else connection.publish(subject, next(workload));
      }
    },
    async publishAtRate(workload, eventsPerSecond, seconds) {
      const startedAt = performance.now();
      const total = Math.floor(eventsPerSecond * seconds);
      for (let sent = 0; sent < total; ) {
        const due = Math.min(total, ((performance.now() - startedAt) / 1000) * eventsPerSecond);
        for (; sent < due; sent++) connection.publish(`${prefix}.events.issue.created`, next(workload));
        await new Promise((resolve) => setTimeout(resolve, TICK_MS));
      }
      return total;
    },
    async clean() {
      for await (const { config } of manager.streams.list()) await manager.streams.delete(config.name);
    },
    async stop() {
      receiver.stop();
      await connection.close();
      await Promise.all([nats.stop(), redis.stop()]);
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
