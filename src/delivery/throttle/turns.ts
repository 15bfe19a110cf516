/**
 * The turns of attempts whose app has a rate limit, or a pace that its receiver's answers have shown (pace.ts). A wait for a turn
 * occupies no slot of the process.
 *
 * TURN-1  Turns of an app are given in the order of the calls, evenly spaced at its pace, each with a token of its rate limit.
 * TURN-2  An app without either has turns at once, in the same call.
 */
import type { RateLimit } from "../../model/app.ts";
import type { ReplicaPace } from "../../model/app-pace.ts";
import type { Clock } from "../../model/clock.ts";
import { isTestCall } from "../../model/delivery.ts";
import type { AttemptRecord } from "../ports.ts";
import { createPace, type Pace } from "./pace.ts";
import type { TakeTokens } from "./rate-limit.ts";

/** `closed`: the process stops. */
export type Turn = "granted" | "closed";

export interface Turns {
  /** @param isWanted a wait that nobody wants any more ends without using up a turn */
  take(app: string, isWanted?: () => boolean): Turn | Promise<Turn>;
  /** `full`: the turn would not come within `maxWaitMs`. */
  takeWithin(app: string, maxWaitMs: number): Turn | "full" | Promise<Turn>;
  /** Deliveries that wait for their turn. */
  waiting(): number;
  /** Concurrent attempts that the receiver takes, as far as this replica knows. */
  limitOf(app: string): number;
  /** The app's pace on this replica; null: it has none, and none of its attempts waits for its turn. */
  paceOf(app: string): ReplicaPace | null;
  /** App → its pace, where it has one. */
  paces(): Iterable<readonly [app: string, pace: ReplicaPace]>;
  /** Turns that the app has within `ms`, as far as this replica knows; at least one. */
  countWithin(app: string, ms: number): number;
  onAttempt(attempt: Pick<AttemptRecord, "app" | "delivery" | "outcome" | "responseCode" | "pauseMs" | "startedAt" | "endedAt">): void;
  /** A pause that the app's receiver asked for is over. */
  released(app: string): void;
  /** The app's record has changed. */
  wake(app: string): void;
  /** The app was deleted. */
  forget(app: string): void;
  /** Ends all waits. */
  close(): void;
}

export interface TurnsDependencies {
  readonly takeTokens: TakeTokens;
  readonly rateLimitOf: (app: string) => RateLimit | null;
  /** Concurrent direct attempts of the app by its record. */
  readonly shareOf: (app: string) => number;
  readonly clock: Clock;
}

interface Waiter {
  readonly isWanted: () => boolean;
  readonly end: (turn: Turn) => void;
}

interface Queue {
  readonly waiters: Waiter[];
  /** Tokens that are leased and not used. */
  tokens: number;
  isLeasing: boolean;
  /** The next turn by the pace, and the next token; milliseconds since the epoch. */
  nextAt: number;
  tokenAt: number;
  cancelTimer: () => void;
}

const REFUSED_CODE = 429;
/** Tokens of one lease. */
const MOST_TOKENS = 64;

interface TurnQueues {
  readonly queues: ReadonlyMap<string, Queue>;
  queueOf(app: string): Queue;
  /** Gives turns until one has to wait. */
  pump(app: string, queue: Queue): void;
}

/** @param rateOf turns a second by the app's pace */
function createTurnQueues({
  takeTokens,
  rateLimitOf,
  rateOf,
  clock,
}: Omit<TurnsDependencies, "shareOf"> & { readonly rateOf: (app: string) => number }): TurnQueues {
  const queues = new Map<string, Queue>();

  const queueOf = (app: string): Queue => {
    let queue = queues.get(app);
    if (queue === undefined) {
      queue = { waiters: [], tokens: 0, isLeasing: false, nextAt: 0, tokenAt: 0, cancelTimer: () => {} };
      queues.set(app, queue);
    }
    return queue;
  };

  const pumpAfter = (app: string, queue: Queue, delayMs: number): void => {
    queue.cancelTimer();
    queue.cancelTimer = clock.after(Math.ceil(delayMs), () => pump(app, queue));
  };

  const endUnwanted = (queue: Queue): void => {
    for (const waiter of queue.waiters.filter(({ isWanted }) => !isWanted())) {
      queue.waiters.splice(queue.waiters.indexOf(waiter), 1);
      waiter.end("granted");
    }
  };

  const lease = (app: string, queue: Queue, limit: RateLimit, count: number): void => {
    queue.isLeasing = true;
    void takeTokens(app, limit, count).then(({ granted, waitMs }) => {
      queue.isLeasing = false;
      queue.tokens += granted;
      queue.tokenAt = clock.now() + waitMs;
      pump(app, queue);
    });
  };

  const pump = (app: string, queue: Queue): void => {
    queue.cancelTimer();
    endUnwanted(queue);
    while (queue.waiters.length > 0) {
      const now = clock.now();
      const rate = rateOf(app);
      if (rate !== Number.POSITIVE_INFINITY && now < queue.nextAt) return pumpAfter(app, queue, queue.nextAt - now);
      const limit = rateLimitOf(app);
      if (limit !== null && queue.tokens === 0) {
        if (queue.isLeasing) return;
        if (now < queue.tokenAt) return pumpAfter(app, queue, queue.tokenAt - now);
        return lease(app, queue, limit, rate === Number.POSITIVE_INFINITY ? Math.min(queue.waiters.length, MOST_TOKENS) : 1);
      }
      if (limit !== null) queue.tokens--;
      queue.nextAt = rate === Number.POSITIVE_INFINITY ? 0 : now + 1_000 / rate;
      queue.waiters.shift()?.end("granted");
    }
    // Unused tokens would be used late (RATE-1).
    queue.tokens = 0;
    if (!queue.isLeasing && clock.now() >= Math.max(queue.nextAt, queue.tokenAt)) queues.delete(app);
  };

  return { queues, queueOf, pump };
}

export function createTurns({ takeTokens, rateLimitOf, shareOf, clock }: TurnsDependencies): Turns {
  const paces = new Map<string, Pace>();
  let isClosed = false;
  let waiting = 0;

  const learned = (app: string): Pace => {
    const pace = paces.get(app) ?? createPace();
    paces.set(app, pace);
    return pace;
  };

  const rateOf = (app: string): number => paces.get(app)?.rate(clock.now()) ?? Number.POSITIVE_INFINITY;

  const { queues, queueOf, pump } = createTurnQueues({ takeTokens, rateLimitOf, rateOf, clock });

  const wait = (app: string, isWanted = (): boolean => true): Promise<Turn> =>
    new Promise((resolve) => {
      const queue = queueOf(app);
      waiting++;
      const end = (turn: Turn): void => {
        waiting--;
        resolve(turn);
      };
      queue.waiters.push({ isWanted, end });
      if (queue.waiters.length === 1) pump(app, queue);
    });

  const perSecond = (app: string): number => Math.min(rateOf(app), rateLimitOf(app)?.perS ?? Number.POSITIVE_INFINITY);

  /** How long a turn would take, as far as this replica knows. */
  const waitOf = (app: string): number => {
    const queue = queues.get(app);
    if (queue === undefined) return 0;
    return Math.max(0, Math.max(queue.nextAt, queue.tokenAt) - clock.now()) + (queue.waiters.length * 1_000) / perSecond(app);
  };

  const paceOf = (app: string): ReplicaPace | null => {
    const now = clock.now();
    const queue = queues.get(app);
    const isWaiting = queue !== undefined && queue.waiters.length > 0 && Math.max(queue.nextAt, queue.tokenAt) > now;
    const [perS, atOnce] = [finite(paces.get(app)?.rate(now)), finite(paces.get(app)?.limit(now))];
    return perS === null && atOnce === null && !isWaiting ? null : { perS, atOnce, isWaiting };
  };

  const isFree = (app: string): boolean => perSecond(app) === Number.POSITIVE_INFINITY && (queues.get(app)?.waiters.length ?? 0) === 0;

  return {
    take(app, isWanted) {
      if (isClosed) return "closed";
      return isFree(app) ? "granted" : wait(app, isWanted);
    },

    takeWithin(app, maxWaitMs) {
      if (isClosed) return "closed";
      if (isFree(app)) return "granted";
      return waitOf(app) > maxWaitMs ? "full" : wait(app);
    },

    waiting: () => waiting,

    limitOf: (app) => paces.get(app)?.limit(clock.now()) ?? Number.POSITIVE_INFINITY,

    paceOf,
    *paces() {
      for (const app of new Set([...paces.keys(), ...queues.keys()])) {
        const pace = paceOf(app);
        if (pace !== null) yield [app, pace];
      }
    },

    countWithin: (app, ms) => Math.max(1, Math.ceil((perSecond(app) * ms) / 1_000)),

    onAttempt({ app: { slug }, delivery, outcome, responseCode, pauseMs, startedAt, endedAt }) {
      if (isTestCall(delivery)) return;
      if (outcome === "delivered") learned(slug).accepted(endedAt);
      else if (responseCode === REFUSED_CODE || pauseMs !== null) learned(slug).refused({ startedAt, endedAt, pauseMs }, shareOf(slug));
    },

    released: (app) => learned(app).released(clock.now(), shareOf(app)),

    wake(app) {
      const queue = queues.get(app);
      if (queue === undefined) return;
      // The limit may be another.
      queue.tokenAt = 0;
      pump(app, queue);
    },

    forget: (app) => void paces.delete(app),

    close() {
      isClosed = true;
      for (const { waiters, cancelTimer } of queues.values()) {
        cancelTimer();
        for (const { end } of waiters.splice(0)) end("closed");
      }
    },
  };
}

function finite(limit = Number.POSITIVE_INFINITY): number | null {
  return limit === Number.POSITIVE_INFINITY ? null : limit;
}
