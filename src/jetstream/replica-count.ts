/**
 * How many replicas are alive: each says so every few seconds in a message of the failure exchange that has no counts, and once more when
 * it sees a replica for the first time.
 */
import type { Clock } from "../model/clock.ts";
import { every, type PeriodicTask } from "../model/periodic.ts";
import type { FailureExchange } from "./failure-exchange.ts";

export interface ReplicaCount extends Pick<PeriodicTask, "start" | "stop"> {
  /** This one included. */
  count(): number;
}

const EVERY_MS = 3_000;
const GONE_AFTER_MS = 10_000;

export function createReplicaCount(exchange: FailureExchange, clock: Clock): ReplicaCount {
  const seenAt = new Map<string, number>();
  const sayAlive = (): void => exchange.broadcast([]);
  exchange.subscribe((replica) => {
    const isNew = !seenAt.has(replica);
    seenAt.set(replica, clock.now());
    if (isNew) sayAlive();
  });
  const saying = every(clock, EVERY_MS, sayAlive);

  return {
    start: saying.start,
    stop: saying.stop,
    count() {
      for (const [replica, at] of seenAt) if (clock.now() - at > GONE_AFTER_MS) seenAt.delete(replica);
      return seenAt.size + 1;
    },
  };
}
