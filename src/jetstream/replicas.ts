/**
 * The live replicas. Each says every few seconds on `<prefix>.replicas`, in a plain message that no stream keeps, that it is alive, what it
 * does, and which revision of the registry bucket it has seen; and once more when it hears from a replica for the first time.
 */
import { hostname } from "node:os";
import type { NatsConnection } from "nats";
import { messageOf } from "../model/app-error.ts";
import type { Clock } from "../model/clock.ts";
import type { Logger } from "../model/logger.ts";
import { every } from "../model/periodic.ts";
import type { Replica, ReplicaLoad } from "../model/replica.ts";
import type { ConnectionState } from "./connection.ts";
import type { Subjects } from "./subjects.ts";

export interface ReplicaMessage {
  /** The sender's id. */
  readonly replica: string;
  /** A revision of the registry bucket. */
  readonly seen: number;
  /** The sender waits until the others have seen this revision. */
  readonly wanted?: number;
  readonly leaves?: true;
}

interface Wire extends ReplicaMessage {
  readonly state?: Replica;
}

export interface Replicas {
  /** Call when this replica has read the registry. */
  start(): void;
  /** Says that this replica leaves. From now on it says and hears nothing. */
  stop(): void;
  /** This one included. */
  count(): number;
  /** This one first. */
  all(): readonly Replica[];
  /** From now on this replica says its load to the others. */
  reportLoad(load: () => ReplicaLoad): void;
  say(more?: Pick<ReplicaMessage, "wanted" | "leaves">): void;
  /** The listener is called when another replica has left, or says nothing any more. */
  onGone(listener: () => void): void;
  /** The listener gets the messages of the others. */
  onMessage(listener: (message: ReplicaMessage) => void): void;
}

export interface ReplicasDependencies {
  readonly connection: NatsConnection;
  readonly connectionState: Pick<ConnectionState, "up">;
  readonly names: Pick<Subjects, "replicas">;
  /** The revision of the registry bucket that this replica has seen. */
  readonly seen: () => number;
  readonly clock: Clock;
  readonly logger: Logger;
}

const EVERY_MS = 3_000;
const GONE_AFTER_MS = 10_000;

/** @param self `id` is a name that no other replica has */
export function createReplicas(dependencies: ReplicasDependencies, self: Pick<Replica, "id"> & { readonly version: string }): Replicas {
  const { connection, connectionState, seen, clock, logger } = dependencies;
  const subject = dependencies.names.replicas;
  const others = new Map<string, Replica>();
  const listeners: Array<(message: ReplicaMessage) => void> = [];
  const goneListeners: Array<() => void> = [];
  const startedAt = clock.now();
  let loadOf: () => ReplicaLoad = () => ({ inFlight: 0, waiting: 0, isReady: false });
  let isLeaving = false;

  const own = (): Replica => ({ ...self, host: hostname(), startedAt, seenAt: clock.now(), load: loadOf() });

  const say: Replicas["say"] = (more = {}) => {
    // Timers call this also while the process stops, when nobody could catch an error.
    if (!connectionState.up || connection.isClosed() || connection.isDraining()) return;
    const wire: Wire = { replica: self.id, seen: seen(), state: own(), ...more };
    connection.publish(subject, JSON.stringify(wire));
  };
  const saying = every(clock, EVERY_MS, () => {
    say();
    alive();
  });

  const remove = (id: string): void => {
    if (others.delete(id)) for (const listener of goneListeners) listener();
  };

  const receive = ({ state, ...message }: Wire): void => {
    const { replica: id, leaves } = message;
    // The others don't wait for this replica any more.
    if (id === self.id || isLeaving) return;
    const isNew = !others.has(id);
    if (leaves === true) remove(id);
    else others.set(id, { host: null, version: null, startedAt: null, load: null, ...state, id, seenAt: clock.now() });
    for (const listener of listeners) listener(message);
    if (isNew && leaves !== true) say();
  };

  const alive = (): Replica[] => {
    for (const [id, { seenAt }] of others) if (clock.now() - seenAt > GONE_AFTER_MS) remove(id);
    return [...others.values()];
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
    count: () => alive().length + 1,
    all: () => [own(), ...alive().toSorted((a, b) => (a.id < b.id ? -1 : 1))],
    reportLoad(load) {
      loadOf = load;
    },
    say,
    onGone: (listener) => void goneListeners.push(listener),
    onMessage: (listener) => void listeners.push(listener),
  };
}
