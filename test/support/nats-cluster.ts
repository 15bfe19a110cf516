/** A cluster of three real nats-servers, and who leads a stream in it. */
import type { JetStreamManager } from "nats";
import { eventually } from "./eventually.ts";
import { freePort, type Server, startNatsServer } from "./servers.ts";

export interface NatsCluster {
  readonly nodes: readonly Server[];
  /** All nodes, separated by commas. */
  readonly url: string;
  /** The node that leads the stream. */
  leaderOf(manager: JetStreamManager, stream: string): Promise<Server>;
  stop(): Promise<void>;
}

export async function startNatsCluster(): Promise<NatsCluster> {
  const routes = await Promise.all([freePort(), freePort(), freePort()]);
  const nodes = await Promise.all(
    routes.map((port, at) =>
      startNatsServer({
        config: [
          `server_name: node-${at}`,
          `cluster { name: chaos, listen: "127.0.0.1:${port}", routes: [${routes.map((route) => `"nats://127.0.0.1:${route}"`).join(", ")}] }`,
        ].join("\n"),
      }),
    ),
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
