/** The Redis servers that this replica is connected to, with what they say of themselves. */
import { Cluster, type Redis } from "ioredis";
import type { Clock } from "../model/clock.ts";
import type { ConnectedServer } from "../model/connected-server.ts";
import { addressOf, type RedisClient } from "./redis.ts";

/** Call when connected. @returns never rejects */
export function createRedisServers(redis: RedisClient, clock: Clock): () => Promise<ConnectedServer[]> {
  const connectedAt = new WeakMap<Redis, number>();
  const follow = (server: Redis): void => {
    if (server.status === "ready") connectedAt.set(server, clock.now());
    server.on("ready", () => void connectedAt.set(server, clock.now()));
  };
  for (const server of serversOf(redis)) follow(server);
  if (redis instanceof Cluster) redis.on("+node", follow);

  const stateOf = async (server: Redis): Promise<ConnectedServer> => {
    const isUp = server.status === "ready";
    // A user without the right to INFO, and a proxy, refuse it.
    const info = isUp ? await server.info().catch(() => "") : "";
    return {
      kind: "redis",
      address: addressOf(server),
      version: memberOf(info, "redis_version"),
      connectedSince: isUp ? (connectedAt.get(server) ?? null) : null,
      usedMemoryBytes: bytesOf(info, "used_memory"),
      // 0: no limit.
      maxMemoryBytes: bytesOf(info, "maxmemory") || null,
    };
  };
  return () => Promise.all(serversOf(redis).map(stateOf));
}

function serversOf(redis: RedisClient): Redis[] {
  return redis instanceof Cluster ? redis.nodes("master") : [redis];
}

function memberOf(info: string, name: string): string | null {
  return new RegExp(`^${name}:(.*?)\\r?$`, "m").exec(info)?.[1] ?? null;
}

function bytesOf(info: string, name: string): number | null {
  const text = memberOf(info, name);
  return text === null ? null : Number(text);
}
