/**
 * Checks that Redis accepts writes. An open connection does not prove it: after a failover the old primary refuses writes and
 * answers reads with old data, and a frozen server does not answer at all.
 */
import { messageOf } from "../model/app-error.ts";
import type { Clock } from "../model/clock.ts";
import type { Logger } from "../model/logger.ts";
import { every } from "../model/periodic.ts";
import { resolvesWithin } from "../model/within.ts";
import { keys } from "./keys.ts";
import { CONNECTION_CLOSED, isConnected, type RedisClient } from "./redis.ts";
import { createPermissionCheck } from "./redis-permissions.ts";

export interface RedisHealth {
  start(): Promise<void>;
  stop(): void;
  /** Why Redis can't be used now; null if it can. */
  problem(): string | null;
}

const NO_CONNECTION = "no connection";
const EVERY_MS = 1_000;
const ANSWERS_WITHIN_MS = 2_000;
/** Number of keys written on a cluster, to reach all or most of its nodes. */
const CLUSTER_PROBES = 8;
const PROBE_TTL_S = 60;
/** The commands that the user may run are tried so often while none is missing. */
const PERMISSIONS_EVERY_MS = 10_000;

export function createRedisHealth(redis: RedisClient, clock: Clock, logger: Logger): RedisHealth {
  /** Result of the last check. */
  let refusal: string | null = null;
  let wasUsable = true;
  let stopped = false;
  /** Why the last try to connect failed. */
  let connectError: string | null = null;
  const noteError = ({ message }: Error): void => {
    if (message !== "" && message !== CONNECTION_CLOSED) connectError = message;
  };
  redis.on("error", noteError);
  redis.on("node error", noteError);
  const lacking = createPermissionCheck(redis);
  let lacked: string | null = null;
  let permissionsAt = Number.NEGATIVE_INFINITY;

  const noConnection = (): string => (connectError === null ? NO_CONNECTION : `${NO_CONNECTION}: ${connectError}`);
  const problem = (): string | null => refusal ?? (isConnected(redis) ? null : noConnection());

  const write = async (): Promise<string | null> => {
    const numbers = Array.from({ length: redis.isCluster ? CLUSTER_PROBES : 1 }, (_, number) => number);
    try {
      const writes = Promise.all(numbers.map((number) => redis.set(keys.probe(number), "1", "EX", PROBE_TTL_S)));
      if (!(await resolvesWithin(clock, ANSWERS_WITHIN_MS, writes))) return `no answer within ${ANSWERS_WITHIN_MS} ms`;
      if (lacked !== null || clock.now() - permissionsAt >= PERMISSIONS_EVERY_MS) {
        lacked = await lacking();
        permissionsAt = clock.now();
      }
      return lacked && `its user ${lacked}`;
    } catch (error) {
      return messageOf(error);
    }
  };

  const check = async (): Promise<void> => {
    refusal = isConnected(redis) ? await write() : noConnection();
    if (refusal === null) connectError = null;
    const found = problem();
    if (stopped || (found === null) === wasUsable) return;
    wasUsable = found === null;
    if (found === null) logger.info({}, "Redis is usable again");
    else logger.warn({ problem: found }, "Redis is not usable; log rows and counters are kept in memory");
  };

  const looking = every(clock, EVERY_MS, check);

  return {
    start: looking.start,
    stop() {
      stopped = true;
      looking.stop();
    },
    problem,
  };
}
