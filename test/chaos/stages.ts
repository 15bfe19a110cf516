/** The servers that scenarios run on: one of each, three NATS nodes between which the network can be split, or a small store. */
import { type SplittableCluster, startSplittableCluster } from "../support/nats-cluster.ts";
import { type Server, startNatsServer, startRedisServer } from "../support/servers.ts";
import { startTcpProxy, type TcpProxy } from "../support/tcp-proxy.ts";

export type StageName = "servers" | "cluster" | "small store";

export interface Stage {
  /** A node of the cluster, where there is one. */
  readonly nats: Server;
  readonly redis: Server;
  /** Of a stage that has them. */
  readonly proxies: { readonly nats: TcpProxy; readonly redis: TcpProxy };
  readonly cluster: SplittableCluster;
  readonly natsUrl: string;
  readonly redisUrl: string;
  readonly settings: Readonly<Record<string, string>>;
  stop(): Promise<void>;
}

const SMALL_STORE = "64MB";

export async function startStage(name: StageName, hasProxies: boolean): Promise<Stage> {
  const [cluster, redis] = await Promise.all([name === "cluster" ? startSplittableCluster() : null, startRedisServer()]);
  const nats = cluster?.nodes[0] ?? (await startNatsServer(name === "small store" ? { maxFileStore: SMALL_STORE } : {}));
  const proxies = hasProxies ? { nats: await startTcpProxy(nats.port), redis: await startTcpProxy(redis.port) } : null;
  return {
    nats,
    redis,
    get proxies() {
      return given("proxies", proxies);
    },
    get cluster() {
      return given("a cluster", cluster);
    },
    natsUrl: cluster?.url ?? `nats://127.0.0.1:${proxies?.nats.port ?? nats.port}`,
    redisUrl: `redis://127.0.0.1:${proxies?.redis.port ?? redis.port}`,
    settings: cluster === null ? {} : { POSTHORN_STREAM_REPLICAS: "3" },
    async stop() {
      await Promise.all([proxies?.nats.stop(), proxies?.redis.stop()]);
      await Promise.all([cluster === null ? nats.stop() : cluster.stop(), redis.stop()]);
    },
  };
}

function given<T>(what: string, value: T | null): T {
  if (value === null) throw new Error(`the scenario does not say that it needs ${what}`);
  return value;
}
