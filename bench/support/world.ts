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

/** The events of a workload, or the body of the next event. */
export type Source = Workload | (() => string);

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
  /** Stores so many events, each acknowledged by the server. @param under the prefix, instead of the newest */
  publish(source: Source, events: number, under?: string): Promise<void>;
  /** Publishes at a steady rate. */
  publishAtRate(source: Source, eventsPerSecond: number, seconds: number, under?: string): Promise<number>;
  clean(): Promise<void>;
  stop(): Promise<void>;
}

const WINDOW = 500;
const TICK_MS = 2;

export function uuidOf(installation: number): string {
  return `00000000-0000-4000-8000-${String(installation).padStart(12, "0")}`;
}

/** @param members of the data, as JSON with a comma after each */
export function bodyOf(bytes: number, organizationId: string, sentAtUs: number, members = ""): string {
  const head = `{"organization_id":"${organizationId}","data":{${members}"sent_at":${sentAtUs},"text":"`;
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

  const next = (source: Source): string => {
    if (typeof source === "function") return source();
    const { destinations: all, fanOut, bodyBytes } = source;
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
    async publish(source, events, under = prefix) {
      // The last of each window is acknowledged, and so those before it: one connection's messages are stored in order.
      for (let sent = 1; sent <= events; sent++) {
        const subject = `${under}.events.issue.created`;
        if (sent % WINDOW === 0 || sent === events) await jetStream.publish(subject, next(source));
        else connection.publish(subject, next(source));
      }
    },
    async publishAtRate(source, eventsPerSecond, seconds, under = prefix) {
      const startedAt = performance.now();
      const total = Math.floor(eventsPerSecond * seconds);
      for (let sent = 0; sent < total; ) {
        const due = Math.min(total, ((performance.now() - startedAt) / 1000) * eventsPerSecond);
        for (; sent < due; sent++) connection.publish(`${under}.events.issue.created`, next(source));
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
