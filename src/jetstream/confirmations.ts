/**
 * Whether the live replicas have seen a change of the registry. Each says every few seconds, on `<prefix>.replicas`, which revision of the
 * registry bucket it has seen.
 *
 * CONFIRM-1  A change is answered when every live replica acts by it. A replica that doesn't confirm in time is not waited for again
 *            until it says something: it reads the change before any later event, because both come over its one connection in turn.
 */
import type { NatsConnection } from "nats";
import { messageOf } from "../model/app-error.ts";
import type { Clock } from "../model/clock.ts";
import type { Logger } from "../model/logger.ts";
import { every } from "../model/periodic.ts";
import type { ConnectionState } from "./connection.ts";
import type { Subjects } from "./subjects.ts";

export interface Confirmations {
  /** Call when this replica has read the registry. */
  start(): void;
  /** Says that nobody needs to wait for this replica. */
  stop(): void;
  /** Other replicas that a change waits for. */
  awaited(): number;
  /** Resolves when the others have seen the revision of the registry bucket, or after a second. */
  haveSeen(revision: number): Promise<void>;
}

export interface ConfirmationsDependencies {
  readonly connection: NatsConnection;
  readonly connectionState: Pick<ConnectionState, "up">;
  readonly names: Pick<Subjects, "replicas">;
  /** The revisions that this replica has seen. */
  readonly registry: { seen(): number; reached(revision: number): Promise<void> };
  /** A name of this replica that no other has. */
  readonly replica: string;
  readonly clock: Clock;
  readonly logger: Logger;
}

interface Wire {
  readonly replica: string;
  readonly seen: number;
  /** The sender waits until the others have seen this revision. */
  readonly wanted?: number;
  readonly leaves?: true;
}

interface Waiter {
  readonly revision: number;
  readonly missing: Set<string>;
  readonly end: () => void;
}

const EVERY_MS = 3_000;
const GONE_AFTER_MS = 10_000;
const CONFIRM_WITHIN_MS = 1_000;

export function createConfirmations(dependencies: ConfirmationsDependencies): Confirmations {
  const { connection, connectionState, registry, replica, clock, logger } = dependencies;
  const subject = dependencies.names.replicas;
  const others = new Map<string, { saidAt: number; isLate: boolean }>();
  const waiters = new Set<Waiter>();

  let isLeaving = false;

  const say = (more: Pick<Wire, "wanted" | "leaves"> = {}): void => {
    if (!connectionState.up || connection.isClosed() || connection.isDraining()) return;
    const wire: Wire = { replica, seen: registry.seen(), ...more };
    connection.publish(subject, JSON.stringify(wire));
  };
  const saying = every(clock, EVERY_MS, () => say());

  const forget = (other: string): void => {
    others.delete(other);
    for (const waiter of waiters) if (waiter.missing.delete(other) && waiter.missing.size === 0) waiter.end();
  };

  const confirm = (other: string, seen: number): void => {
    for (const waiter of waiters) if (seen >= waiter.revision && waiter.missing.delete(other) && waiter.missing.size === 0) waiter.end();
  };

  const receive = ({ replica: other, seen, wanted, leaves }: Wire): void => {
    // The others don't wait for this replica any more.
    if (other === replica || isLeaving) return;
    if (leaves) return forget(other);
    const isNew = !others.has(other);
    others.set(other, { saidAt: clock.now(), isLate: false });
    confirm(other, seen);
    if (wanted !== undefined)
      registry.reached(wanted).then(
        () => say(),
        () => {},
      );
    else if (isNew) say();
  };

  const forgetGone = (): void => {
    for (const [other, { saidAt }] of others) if (clock.now() - saidAt > GONE_AFTER_MS) forget(other);
  };

  const inTime = (): string[] => {
    forgetGone();
    return [...others].filter(([, { isLate }]) => !isLate).map(([other]) => other);
  };

  const markLate = (missing: ReadonlySet<string>, revision: number): void => {
    for (const other of missing) {
      const known = others.get(other);
      if (known !== undefined) known.isLate = true;
      logger.warn({ replica: other, revision }, "a replica did not confirm a change of the registry in time");
    }
  };

  return {
    start() {
      connection.subscribe(subject, {
        callback(error, message) {
          try {
            if (error !== null) throw error;
            receive(message.json<Wire>());
          } catch (problem) {
            logger.warn({ subject, error: messageOf(problem) }, "messages of other replicas can't be used");
          }
        },
      });
      void saying.start();
    },

    stop() {
      isLeaving = true;
      saying.stop();
      say({ leaves: true });
    },

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
          markLate(missing, revision);
          end();
        });
        waiters.add(waiter);
        say({ wanted: revision });
      });
    },
  };
}
