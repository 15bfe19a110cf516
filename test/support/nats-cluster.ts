/** A cluster of three real nats-servers, who leads a stream in it, and a network between them that can be split. */
import type { JetStreamManager } from "nats";
import { eventually } from "./eventually.ts";
import { freePort, type Server, startNatsServer } from "./servers.ts";
import { startTcpProxy, type TcpProxy } from "./tcp-proxy.ts";

export interface NatsCluster {
  readonly nodes: readonly Server[];
  /** All nodes, separated by commas. */
  readonly url: string;
  /** The node that leads the stream. */
  leaderOf(manager: JetStreamManager, stream: string): Promise<Server>;
  stop(): Promise<void>;
}

export interface SplittableCluster extends NatsCluster {
  /** Nothing goes through between the node and the others any more; clients stay connected to all of them. */
  isolate(node: Server): void;
  heal(): void;
}

const NODES = [0, 1, 2];
const NOWHERE = 1;

/** @param portTo where a node reaches another one */
async function startNodes(ports: readonly number[], portTo: (from: number, to: number) => number, more: string): Promise<NatsCluster> {
  const nodes = await Promise.all(
    NODES.map((at) => {
      const routes = NODES.filter((other) => other !== at).map((other) => `"nats://127.0.0.1:${portTo(at, other)}"`);
      const config = `server_name: node-${at}\ncluster { name: chaos, listen: "127.0.0.1:${ports[at]}", ${more} routes: [${routes.join(", ")}] }`;
      return startNatsServer({ config });
    }),
  );
  return {
    nodes,
    url: nodes.map(({ url }) => url).join(","),
    leaderOf: (manager, stream) =>
      eventually(async () => {
        const { cluster } = await manager.streams.info(stream);
        const at = Number(cluster?.leader?.replace("node-", ""));
        return nodes[at];
      }),
    async stop() {
      await Promise.all(nodes.map((node) => node.stop()));
    },
  };
}

export async function startNatsCluster(): Promise<NatsCluster> {
  const ports = await Promise.all(NODES.map(() => freePort()));
  return startNodes(ports, (_from, to) => ports[to] ?? 0, "");
}

/**
 * With a proxy between each two nodes. Only the lower one of two connects: when both do, and a proxy makes that slow, each may close
 * the connection that the other one keeps, again and again, and no leader is elected.
 */
export async function startSplittableCluster(): Promise<SplittableCluster> {
  const ports = await Promise.all(NODES.map(() => freePort()));
  const ways = await Promise.all(
    NODES.flatMap((from) => NODES.filter((to) => to > from).map(async (to) => ({ from, to, proxy: await startTcpProxy(ports[to] ?? 0) }))),
  );
  // A node takes the number of its routes for the size of the cluster, so all have as many. Nobody listens at NOWHERE.
  const portTo = (from: number, to: number): number => ways.find((way) => way.from === from && way.to === to)?.proxy.port ?? NOWHERE + to;
  // Nodes tell each other of third ones under this address: they use the proxies alone.
  const cluster = await startNodes(ports, portTo, `advertise: "127.0.0.1:${NOWHERE}",`);
  let frozen: TcpProxy[] = [];
  return {
    ...cluster,
    isolate(node) {
      const at = cluster.nodes.indexOf(node);
      frozen = ways.filter(({ from, to }) => from === at || to === at).map(({ proxy }) => proxy);
      for (const proxy of frozen) proxy.freeze();
    },
    heal() {
      for (const proxy of frozen) proxy.thaw();
      frozen = [];
    },
    async stop() {
      await cluster.stop();
      await Promise.all(ways.map(({ proxy }) => proxy.stop()));
    },
  };
}
