/**
 * Who may start an attempt now. An app holds at most its direct share, and a destination at most its connections, so that
 * one that never answers can't take the places of the others; the process holds at most POSTHORN_MAX_IN_FLIGHT.
 *
 * B1  inFlight of an app never exceeds the limit it entered with, a destination's never maxPerDestination, and the
 *     process's never maxInFlight.
 * B2  Waiting for the app's share or the destination's ends after maxWaitMs with `full` (the delivery is parked then);
 *     waiting for the process's share does not end, it is what holds back the pull loops.
 * B3  While suspended (NATS is away) nobody enters; who waits goes on waiting. After `close` nobody enters any more.
 * B4  Places of the process that come free go to the apps in turn: one with many waiting gets no more than one with few.
 */
import type { Clock } from "../../model/clock.ts";

/** `entered`: a place is taken, give it back with `leave`. `full`: the app or the destination had none within maxWaitMs. */
export type Entry = "entered" | "full" | "closed";

export interface Bulkhead {
  enter(app: string, limit: number, destination: string): Entry | Promise<Entry>;
  /** For what has nowhere else to wait: its app has no limit, and the destination's place may come late. */
  enterWhenFree(app: string, destination: string): Promise<Exclude<Entry, "full">>;
  /** Takes a place if there is one now, without waiting. */
  tryEnter(app: string, limit: number, destination: string): boolean;
  leave(app: string, destination: string): void;
  suspend(): void;
  resume(): void;
  /** Sends away who waits, and who comes. */
  close(): void;
  /** How often it was suspended: what waited meanwhile may have been done by somebody else. */
  suspensions(): number;
  inFlight(): number;
  waiting(): number;
}

export interface BulkheadOptions {
  readonly maxInFlight: number;
  readonly maxPerDestination: number;
  readonly maxWaitMs: number;
}

interface Waiter {
  readonly limit: number;
  readonly dueAt: number;
  readonly end: (entry: Entry) => void;
}

interface Share {
  inFlight: number;
  readonly queue: Set<Waiter>;
  /** One timer, for the one that has waited longest: a timer for each costs as much as the rest of the way in. */
  isTimed: boolean;
}

type End = (entry: Entry) => void;

export function createBulkhead(clock: Clock, { maxInFlight, maxPerDestination, maxWaitMs }: BulkheadOptions): Bulkhead {
  const apps = new Map<string, Share>();
  const destinations = new Map<string, Share>();
  /** Those that have both shares and wait for the process's, by app; the next one's turn is first (B4). */
  const processQueue = new Map<string, End[]>();
  let inFlight = 0;
  let waiting = 0;
  let suspended = false;
  let suspensions = 0;
  let closed = false;

  const shareOf = (shares: Map<string, Share>, name: string): Share => {
    let share = shares.get(name);
    if (share === undefined) {
      share = { inFlight: 0, queue: new Set(), isTimed: false };
      shares.set(name, share);
    }
    return share;
  };

  const enterDestination = (app: string, share: Share, destination: string): Entry | Promise<Entry> => {
    share.inFlight++;
    const connections = shareOf(destinations, destination);
    if (connections.inFlight < maxPerDestination) return enterProcess(app, connections, destination);
    return waitForShare(connections, maxPerDestination, (entry) => {
      if (entry === "entered") return enterProcess(app, connections, destination);
      leaveShare(apps, app);
      return entry;
    });
  };

  const enterProcess = (app: string, connections: Share, destination: string): Entry | Promise<Entry> => {
    connections.inFlight++;
    if (inFlight < maxInFlight && !suspended) {
      inFlight++;
      return "entered";
    }
    waiting++;
    return new Promise((resolve) => {
      const end: End = (entry) => {
        waiting--;
        if (entry === "entered") inFlight++;
        else {
          leaveShare(destinations, destination);
          leaveShare(apps, app);
        }
        resolve(entry);
      };
      const ofApp = processQueue.get(app);
      if (ofApp === undefined) processQueue.set(app, [end]);
      else ofApp.push(end);
    });
  };

  const endOverdue = (share: Share): void => {
    const now = clock.now();
    share.isTimed = false;
    for (const waiter of share.queue) {
      if (waiter.dueAt > now) return timeOldest(share, waiter.dueAt - now);
      waiter.end("full");
    }
  };

  const timeOldest = (share: Share, restMs: number): void => {
    if (share.isTimed) return;
    share.isTimed = true;
    clock.after(restMs, () => endOverdue(share));
  };

  const waitForShare = (share: Share, limit: number, next: (entry: Entry) => Entry | Promise<Entry>): Promise<Entry> => {
    waiting++;
    return new Promise((resolve) => {
      const waiter: Waiter = {
        limit,
        dueAt: clock.now() + maxWaitMs,
        end(entry) {
          waiting--;
          share.queue.delete(waiter);
          resolve(next(entry));
        },
      };
      share.queue.add(waiter);
      timeOldest(share, maxWaitMs);
    });
  };

  const leaveShare = (shares: Map<string, Share>, name: string): void => {
    const share = shares.get(name);
    if (share === undefined) return;
    share.inFlight--;
    const [next] = share.queue;
    if (next !== undefined && share.inFlight < next.limit) next.end("entered");
    else if (share.inFlight === 0 && next === undefined) shares.delete(name);
  };

  const admit = (): void => {
    while (!suspended && inFlight < maxInFlight) {
      const [next] = processQueue;
      if (next === undefined) return;
      const [app, ends] = next;
      const end = ends.shift();
      processQueue.delete(app);
      if (ends.length > 0) processQueue.set(app, ends);
      end?.("entered");
    }
  };

  const enter: Bulkhead["enter"] = (app, limit, destination) => {
    if (closed) return "closed";
    const share = shareOf(apps, app);
    if (share.inFlight < limit) return enterDestination(app, share, destination);
    return waitForShare(share, limit, (entry) => (entry === "entered" ? enterDestination(app, share, destination) : entry));
  };

  return {
    enter,

    async enterWhenFree(app, destination) {
      for (;;) {
        const entry = await enter(app, Number.POSITIVE_INFINITY, destination);
        if (entry !== "full") return entry;
      }
    },

    tryEnter(app, limit, destination) {
      const isFree =
        !closed &&
        !suspended &&
        inFlight < maxInFlight &&
        (apps.get(app)?.inFlight ?? 0) < limit &&
        (destinations.get(destination)?.inFlight ?? 0) < maxPerDestination;
      return isFree && enter(app, limit, destination) === "entered";
    },

    leave(app, destination) {
      inFlight--;
      admit();
      leaveShare(destinations, destination);
      leaveShare(apps, app);
    },

    suspend() {
      suspended = true;
      suspensions++;
    },
    resume() {
      suspended = false;
      admit();
    },

    close() {
      closed = true;
      for (const { queue } of [...apps.values(), ...destinations.values()]) for (const waiter of [...queue]) waiter.end("closed");
      const refused = [...processQueue.values()].flat();
      processQueue.clear();
      for (const end of refused) end("closed");
    },

    suspensions: () => suspensions,
    inFlight: () => inFlight,
    waiting: () => waiting,
  };
}
