/** A Redis Cluster of three real nodes without replicas, made with redis-cli. */
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { findBinary } from "../../scripts/servers.mjs";
import { eventually } from "./eventually.ts";
import { freePort, type Server, startRedisServer } from "./servers.ts";

export interface RedisCluster {
  readonly nodes: readonly Server[];
  /** All nodes, separated by commas. */
  readonly url: string;
  /** Runs a command on the node that has its key. @returns what redis-cli prints, a line for each element */
  command(...words: string[]): Promise<string[]>;
  /** Runs a command on one node. */
  on(node: Server, ...words: string[]): Promise<string[]>;
  /** Runs a command on every node. @returns all that was printed */
  everywhere(...words: string[]): Promise<string[]>;
  /** The node that has the key. */
  nodeOf(key: string): Promise<Server>;
  /** Waits until every node says that all slots are served. */
  whole(): Promise<void>;
  stop(): Promise<void>;
}

const SLOTS = 16_384;
const NODES = 3;
const run = promisify(execFile);

interface ClusterOptions {
  /** Whether a node refuses everything while another is away, as is Redis' default. */
  readonly needsAllNodes?: boolean;
  /** An ACL rule for one more user than the default one. */
  readonly user?: string;
}

export async function startRedisCluster({ needsAllNodes = false, user }: ClusterOptions = {}): Promise<RedisCluster> {
  const buses = await Promise.all(Array.from({ length: NODES }, freePort));
  const nodes = await Promise.all(
    buses.map((bus) =>
      startRedisServer({
        arguments: [
          ...["--cluster-enabled", "yes", "--cluster-port", String(bus), "--cluster-node-timeout", "1000"],
          ...["--cluster-require-full-coverage", needsAllNodes ? "yes" : "no", "--appendfsync", "always"],
          ...(user === undefined ? [] : ["--user", ...user.split(" ")]),
        ],
      }),
    ),
  );
  const cli = async ({ port }: Server, ...words: string[]): Promise<string[]> => {
    const { stdout } = await run(findBinary("redis-cli") ?? "redis-cli", ["-p", String(port), "-e", ...words]);
    return stdout.split("\n").filter((line) => line !== "");
  };
  /** The first of the given nodes that answers. */
  const firstOf = async (asked: readonly Server[], ...words: string[]): Promise<string[]> => {
    const [first, ...others] = asked;
    if (first === undefined) throw new Error(`no node answers ${words.join(" ")}`);
    return cli(first, "-c", ...words).catch(() => firstOf(others, ...words));
  };
  const firstSlot = (at: number): number => Math.ceil((at * SLOTS) / NODES);

  const cluster: RedisCluster = {
    nodes,
    url: nodes.map(({ url }) => url).join(","),
    command: (...words) => firstOf(nodes, ...words),
    on: cli,
    everywhere: async (...words) => (await Promise.all(nodes.map((node) => cli(node, ...words)))).flat(),
    async nodeOf(key) {
      const [slot] = await firstOf(nodes, "CLUSTER", "KEYSLOT", key);
      const found = nodes.findLast((_, at) => firstSlot(at) <= Number(slot));
      if (found === undefined) throw new Error(`no node has slot ${slot}`);
      return found;
    },
    async whole() {
      for (const node of nodes) {
        await eventually(async () => {
          const info = (await cli(node, "CLUSTER", "INFO")).join("\n");
          return info.includes("cluster_state:ok") && info.includes(`cluster_slots_ok:${SLOTS}`);
        });
      }
    },
    async stop() {
      await Promise.all(nodes.map((node) => node.stop()));
    },
  };

  await Promise.all(nodes.map((node, at) => cli(node, "CLUSTER", "ADDSLOTSRANGE", String(firstSlot(at)), String(firstSlot(at + 1) - 1))));
  for (const [at, node] of nodes.entries()) {
    await cli(node, "CLUSTER", "SET-CONFIG-EPOCH", String(at + 1));
  }
  const [first, ...others] = nodes as [Server, ...Server[]];
  for (const { port } of others) {
    const bus = buses[nodes.findIndex((node) => node.port === port)];
    await cli(first, "CLUSTER", "MEET", "127.0.0.1", String(port), String(bus));
  }
  await cluster.whole();
  return cluster;
}
