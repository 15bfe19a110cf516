/**
 * Whether the live replicas have seen a change of the registry.
 *
 * CONFIRM-1  A change is answered when every live replica acts by it. A replica that doesn't confirm in time is not waited for again
 *            until it says something: it reads the change before any later event, because both come over its one connection in turn.
 */
import type { Clock } from "../model/clock.ts";
import type { Logger } from "../model/logger.ts";
import type { ReplicaMessage, Replicas } from "./replicas.ts";

export interface Confirmations {
  /** Other replicas that a change waits for. */
  awaited(): number;
  /** Resolves when the others have seen the revision of the registry bucket, or after a second. */
  haveSeen(revision: number): Promise<void>;
}

export interface ConfirmationsDependencies {
  readonly replicas: Pick<Replicas, "all" | "say" | "onMessage">;
  /** Resolves when this replica has seen the revision. */
  readonly reached: (revision: number) => Promise<void>;
  readonly clock: Clock;
  readonly logger: Logger;
}

interface Waiter {
  readonly revision: number;
  readonly missing: Set<string>;
  readonly end: () => void;
}

const CONFIRM_WITHIN_MS = 1_000;

export function createConfirmations({ replicas, reached, clock, logger }: ConfirmationsDependencies): Confirmations {
  const late = new Set<string>();
  const waiters = new Set<Waiter>();

  replicas.onMessage(({ replica, seen, wanted, leaves }: ReplicaMessage) => {
    late.delete(replica);
    for (const { revision, missing, end } of waiters)
      if ((leaves === true || seen >= revision) && missing.delete(replica) && missing.size === 0) end();
    if (wanted !== undefined)
      reached(wanted).then(
        () => replicas.say(),
        () => {},
      );
  });

  const inTime = (): string[] => {
    const others = replicas
      .all()
      .slice(1)
      .map(({ id }) => id);
    for (const id of late) if (!others.includes(id)) late.delete(id);
    return others.filter((id) => !late.has(id));
  };

  return {
    awaited: () => inTime().length,

    haveSeen(revision) {
      const missing = new Set(inTime());
      if (missing.size === 0) return Promise.resolve();
      return new Promise((resolve) => {
        const end = (): void => {
          waiters.delete(waiter);
          cancel();
          resolve();
        };
        const waiter: Waiter = { revision, missing, end };
        const cancel = clock.after(CONFIRM_WITHIN_MS, () => {
          for (const replica of missing) {
            late.add(replica);
            logger.warn({ replica, revision }, "a replica did not confirm a change of the registry in time");
          }
          end();
        });
        waiters.add(waiter);
        replicas.say({ wanted: revision });
      });
    },
  };
}
