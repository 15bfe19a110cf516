/** The stores of one peer, each a private server on free ports with a folder of its own, started when the peer asks for it. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startNatsServer, startRedisServer } from "../../scripts/servers.mjs";
import { startPostgres } from "./postgres.ts";
import { startRabbitMq } from "./rabbitmq.ts";

export interface Store {
  readonly url: string;
  readonly port: number;
  pid(): number;
  stop(): Promise<void>;
}

export interface Site {
  /** For files of the peer and its log. Removed at the end. */
  readonly folder: string;
  nats(): Promise<Store>;
  redis(): Promise<Store>;
  postgres(): Promise<Store>;
  rabbitMq(): Promise<Store>;
  /** The root of each store's processes. */
  stores(): readonly number[];
  stop(): Promise<void>;
}

export function createSite(name: string): Site {
  const folder = mkdtempSync(join(tmpdir(), `posthorn-peer-${name}-`));
  const remove = (): void => rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
  process.once("exit", remove);
  const started: Store[] = [];
  const starts = (start: () => Promise<Store>) => async (): Promise<Store> => {
    const store = await start();
    started.push(store);
    return store;
  };
  return {
    folder,
    nats: starts(() => startNatsServer()),
    redis: starts(() => startRedisServer()),
    postgres: starts(startPostgres),
    rabbitMq: starts(startRabbitMq),
    stores: () => started.map(({ pid }) => pid()),
    async stop() {
      await Promise.all(started.map(({ stop }) => stop()));
      remove();
      process.off("exit", remove);
    },
  };
}
