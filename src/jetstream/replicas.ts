/**
 * The replicas that are alive: each says so every few seconds in a message of the failure exchange that has no counts but its state, and
 * once more when it sees a replica for the first time.
 */
import { hostname } from "node:os";
import type { Clock } from "../model/clock.ts";
import { every, type PeriodicTask } from "../model/periodic.ts";
import type { Replica, ReplicaLoad } from "../model/replica.ts";
import type { FailureExchange } from "./failure-exchange.ts";

export interface Replicas extends Pick<PeriodicTask, "start" | "stop"> {
  /** This one included. */
  count(): number;
  /** This one first. */
  all(): readonly Replica[];
  /** From now on this replica says its load to the others. */
  reportLoad(load: () => ReplicaLoad): void;
}

const EVERY_MS = 3_000;
const GONE_AFTER_MS = 10_000;

export function createReplicas(exchange: FailureExchange, clock: Clock, self: { readonly id: string; readonly version: string }): Replicas {
  const seen = new Map<string, Replica>();
  const startedAt = clock.now();
  let loadOf: () => ReplicaLoad = () => ({ inFlight: 0, waiting: 0, isReady: false });
  const own = (): Replica => ({ ...self, host: hostname(), startedAt, seenAt: clock.now(), load: loadOf() });
  const sayAlive = (): void => exchange.broadcast([], own());
  exchange.subscribe((id, _counts, state) => {
    const known = seen.get(id);
    seen.set(id, { host: null, version: null, startedAt: null, load: null, ...known, ...state, id, seenAt: clock.now() });
    if (known === undefined) sayAlive();
  });
  const saying = every(clock, EVERY_MS, sayAlive);
  const alive = (): Replica[] => {
    for (const [id, { seenAt }] of seen) if (clock.now() - seenAt > GONE_AFTER_MS) seen.delete(id);
    return [...seen.values()];
  };

  return {
    start: saying.start,
    stop: saying.stop,
    count: () => alive().length + 1,
    all: () => [own(), ...alive().toSorted((a, b) => (a.id < b.id ? -1 : 1))],
    reportLoad(load) {
      loadOf = load;
    },
  };
}
