/**
 * The circuit of each app: stop hitting what is down, look again with one attempt, go on when it answers.
 *
 * C1  The state is shared through the store and pushed to every replica, so that nothing is read per attempt. Replicas tell
 *     each other what they counted of apps that somebody's attempts fail at: floor and rate are those of all replicas.
 * C2  Half-open admits one attempt over all replicas: the store's compare-and-set hands the probe to one of them, with a
 *     lease, so that a probe that died with its process does not keep the circuit open for ever. Who has no delivery to
 *     make it with (another replica holds them all) gives it back.
 * C3  A state is never followed by an older one: what this replica wrote itself may be known before it is pushed.
 * C4  A success closes it, and so does a final refusal (404, 410): who answers so is up, and would answer so for ever. After
 *     what says "not now" (429) it stays open as long as before; after a failure twice as long.
 * C5  When the store can't be reached the state stays as it is: no delivery waits for it. What would make room in a full store does not
 *     wait for room: a replica that can't store its claim of the probe makes one all the same, and one whose probe succeeded lets the
 *     app's deliveries go, and stores that as soon as it can.
 */
import { AppError, messageOf } from "../../model/app-error.ts";
import type { Clock } from "../../model/clock.ts";
import { isTestCall } from "../../model/delivery.ts";
import type { Logger } from "../../model/logger.ts";
import { failsCircuit } from "../../model/outcome.ts";
import type { AttemptCounts, AttemptRecord, CircuitChange, CircuitState, CircuitStore } from "../ports.ts";
import { createFailureWindow, type FailureWindow } from "./sliding-window.ts";

export interface Circuits {
  /** Whether an attempt may not start now. Asks for the probe when it is time for one: ask when there is something to attempt. */
  blocks(app: string): boolean;
  /** Right before an attempt, whose result has to be judged: whether it may start. A half-open circuit lets the probe through. */
  enter(app: string): boolean;
  judge(attempt: AttemptRecord): void;
  /** The shared state has changed. */
  apply(app: string, state: CircuitState, revision: number): void;
  /** The records are in another bucket, which counts from 1 again. */
  forgetRevisions(): void;
  /** What another replica has counted. */
  heard(replica: string, counts: readonly AttemptCounts[]): void;
  /** The app is gone: the next one of its name begins anew. */
  forget(app: string): void;
  stateOf(app: string): CircuitState;
  /** Of the apps whose circuit is not closed. */
  states(): Iterable<CircuitState["state"]>;
}

export interface CircuitOptions {
  readonly windowMs: number;
  readonly minAttempts: number;
  readonly failurePercent: number;
  readonly openTimeMs: number;
  readonly maxOpenTimeMs: number;
  /** How long a probe of the app may take before it is taken for dead. */
  readonly probeLeaseMs: (app: string) => number;
  /** Names this replica. */
  readonly replica: string;
}

export interface CircuitDependencies {
  readonly store: CircuitStore;
  /** Tells the other replicas. */
  readonly tell: (counts: readonly AttemptCounts[]) => void;
  /** Whether there is such an app (any more). */
  readonly isKnown: (app: string) => boolean;
  readonly clock: Clock;
  readonly logger: Logger;
  /** The app may be attempted (again): what waits in its queues can go. */
  readonly onAdmitting: (app: string) => void;
}

/** A delivery that waits here would have started by then. */
const UNUSED_PROBE_MS = 1_000;
/** What failed is told to the others within this time. */
const TELL_AFTER_MS = 250;
const STORE_AGAIN_MS = 1_000;
/** The window moves on: what is in it is told again while something failed in it. */
const TELLS_PER_WINDOW = 12;

export const CLOSED: CircuitState = { state: "closed", openForMs: 0, openUntil: 0, probeUntil: 0, probeBy: null };

export function createCircuitBreakers(dependencies: CircuitDependencies, options: CircuitOptions): Circuits {
  const { store, tell, isKnown, clock, logger, onAdmitting } = dependencies;
  const windows = new Map<string, FailureWindow>();
  /** App → replica → what it has told, and when. */
  const others = new Map<string, Map<string, AttemptCounts & { readonly at: number }>>();
  /** Apps that the others are told of, each with what they were told last. */
  const told = new Map<string, AttemptCounts>();
  let toTell = new Set<string>();
  const states = new Map<string, CircuitState>();
  const revisions = new Map<string, number>();
  /** Apps whose probe this replica holds and has not started yet, with what keeps it from being given back. */
  const probes = new Map<string, () => void>();
  /** App → when this replica let the probe through. */
  const probing = new Map<string, number>();
  const changing = new Set<string>();
  /** App → the revision of the state that this replica has seen to be over, and could not store yet. */
  const closedHere = new Map<string, number>();

  /** @returns whether there was one. */
  const takeProbe = (app: string): boolean => {
    probes.get(app)?.();
    return probes.delete(app);
  };

  const apply = (app: string, state: CircuitState, revision: number): void => {
    if (revision < (revisions.get(app) ?? 0) || revision === closedHere.get(app)) return;
    closedHere.delete(app);
    revisions.set(app, revision);
    const before = states.get(app) ?? CLOSED;
    if (state.state === "closed") states.delete(app);
    else states.set(app, state);
    if (state.state !== "half_open" || state.probeBy !== options.replica) {
      takeProbe(app);
      probing.delete(app);
    }
    if (state.state === "closed" && before.state !== "closed") {
      forgetCounts(app);
      onAdmitting(app);
    }
  };

  const forgetCounts = (app: string): void => {
    windows.delete(app);
    others.delete(app);
    told.delete(app);
    toTell.delete(app);
  };

  /** @param then the state is stored. @param otherwise it could not be */
  const change = (
    app: string,
    decide: (current: CircuitState) => CircuitChange | null,
    then?: () => void,
    otherwise?: (isFull: boolean) => void,
  ): void => {
    if (changing.has(app)) return;
    changing.add(app);
    store
      .change(app, decide)
      .then(
        ({ state, revision }) => {
          apply(app, state, revision);
          then?.();
        },
        (error: unknown) => {
          logger.warn({ app, error: messageOf(error) }, "circuit state can't be stored");
          otherwise?.(error instanceof AppError && error.code === "STORE_FULL");
        },
      )
      .finally(() => changing.delete(app));
  };

  const mayProbe = (state: CircuitState, nowMs: number): boolean =>
    (state.state === "open" && nowMs >= state.openUntil) || (state.state === "half_open" && nowMs >= state.probeUntil);

  const holdProbe = (app: string): void => {
    takeProbe(app);
    probes.set(
      app,
      clock.after(UNUSED_PROBE_MS, () => giveBackProbe(app)),
    );
    onAdmitting(app);
  };

  /** No later than this one is another probe made, also while nothing can be stored. */
  const openHere = (app: string, openForMs: number): void => {
    const state = states.get(app);
    if (state !== undefined) states.set(app, { ...state, state: "open", openForMs, openUntil: clock.now() + openForMs });
  };

  const closeHere = (app: string): void => {
    if (!states.has(app)) return;
    closedHere.set(app, revisions.get(app) ?? 0);
    states.delete(app);
    forgetCounts(app);
    onAdmitting(app);
    storeClosed(app);
  };

  const storeClosed = (app: string): void => {
    if (!closedHere.has(app)) return;
    const close = (current: CircuitState): CircuitChange | null =>
      current.state === "closed" || !closedHere.has(app) ? null : { next: CLOSED, announce: "closed", reason: null };
    change(
      app,
      close,
      () => void closedHere.delete(app),
      () => void clock.after(STORE_AGAIN_MS, () => storeClosed(app)),
    );
  };

  const claimProbe = (app: string): void => {
    change(
      app,
      (current) => {
        const nowMs = clock.now();
        if (!mayProbe(current, nowMs)) return null;
        const next: CircuitState = {
          ...current,
          state: "half_open",
          probeBy: options.replica,
          probeUntil: nowMs + options.probeLeaseMs(app),
        };
        return { next, announce: null, reason: null };
      },
      () => {
        const state = states.get(app);
        if (state?.state === "half_open" && state.probeBy === options.replica) holdProbe(app);
      },
      (isFull) => {
        if (!isFull) return;
        openHere(app, states.get(app)?.openForMs ?? options.openTimeMs);
        holdProbe(app);
      },
    );
  };

  const giveBackProbe = (app: string): void => {
    if (!takeProbe(app)) return;
    change(app, (current) => {
      if (current.state !== "half_open" || current.probeBy !== options.replica) return null;
      const next: CircuitState = { ...current, state: "open", openUntil: clock.now(), probeUntil: 0, probeBy: null };
      return { next, announce: null, reason: null };
    });
  };

  const countsOf = (app: string): AttemptCounts => ({
    ...{ app, attempts: 0, failures: 0, revision: revisions.get(app) ?? 0 },
    ...windows.get(app)?.counts(clock.now()),
  });

  /** Soon, and in one message for all apps. */
  const tellOf = (app: string): void => {
    if (toTell.size === 0) clock.after(TELL_AFTER_MS, tellNow);
    toTell.add(app);
  };

  const tellNow = (): void => {
    const counts = [...toTell].map(countsOf);
    toTell = new Set();
    if (counts.length === 0) return;
    if (told.size === 0) clock.after(options.windowMs / TELLS_PER_WINDOW, tellAgain);
    for (const one of counts) told.set(one.app, one);
    tell(counts);
  };

  const tellAgain = (): void => {
    const counts = [...told.keys()].map(countsOf);
    const changed = counts.filter(
      ({ app, attempts, failures }) => attempts !== told.get(app)?.attempts || failures !== told.get(app)?.failures,
    );
    for (const one of counts) {
      if (isFailing(one.app)) told.set(one.app, one);
      else told.delete(one.app);
    }
    if (told.size > 0) clock.after(options.windowMs / TELLS_PER_WINDOW, tellAgain);
    if (changed.length > 0) tell(changed);
  };

  /** Of this replica and of the others. */
  const allCountsOf = (app: string, nowMs: number): { attempts: number; failures: number } => {
    let { attempts, failures } = countsOf(app);
    for (const [replica, other] of others.get(app) ?? []) {
      if (nowMs - other.at >= options.windowMs) others.get(app)?.delete(replica);
      else {
        attempts += other.attempts;
        failures += other.failures;
      }
    }
    return { attempts, failures };
  };

  /** Somebody's attempts for it fail: the others are told, and who counted successes tells them. */
  const isFailing = (app: string): boolean => allCountsOf(app, clock.now()).failures > 0;

  const open = (app: string): void => {
    const nowMs = clock.now();
    const counts = allCountsOf(app, nowMs);
    if (counts.attempts < options.minAttempts || counts.failures * 100 < counts.attempts * options.failurePercent) return;
    change(app, (current) => {
      if (current.state !== "closed" || !isKnown(app)) return null;
      const openForMs = options.openTimeMs;
      const next: CircuitState = { state: "open", openForMs, openUntil: nowMs + openForMs, probeUntil: 0, probeBy: null };
      return { next, announce: "opened", reason: { windowMs: options.windowMs, ...counts } };
    });
  };

  const endProbe = (app: string, result: "up" | "down" | "neither"): void => {
    const before = states.get(app);
    const openForMs = (current: CircuitState): number =>
      result === "down" ? Math.min(current.openForMs * 2, options.maxOpenTimeMs) : current.openForMs;
    change(
      app,
      (current) => {
        if (current.state !== "half_open" || current.probeBy !== options.replica) return null;
        if (result === "up") return { next: CLOSED, announce: "closed", reason: null };
        const forMs = openForMs(current);
        const next: CircuitState = { state: "open", openForMs: forMs, openUntil: clock.now() + forMs, probeUntil: 0, probeBy: null };
        return { next, announce: null, reason: null };
      },
      () => {
        // A probe that was claimed here only: what it found is the newest that is known.
        if (result === "up" && states.get(app)?.state === "open") closeHere(app);
      },
      () => {
        if (result === "up") closeHere(app);
        else openHere(app, openForMs(before ?? CLOSED));
      },
    );
  };

  return {
    blocks(app) {
      const state = states.get(app);
      if (state === undefined) return false;
      const unused = probes.get(app);
      if (unused !== undefined) {
        // Somebody means to make it, and may have to wait for a place: from here on the lease is what bounds it.
        unused();
        probes.set(
          app,
          clock.after(Math.max(0, state.probeUntil - clock.now()), () => giveBackProbe(app)),
        );
        return false;
      }
      if (mayProbe(state, clock.now())) claimProbe(app);
      return true;
    },

    enter(app) {
      if (!states.has(app)) return true;
      if (!takeProbe(app)) return false;
      probing.set(app, clock.now());
      return true;
    },

    judge({ app: { slug }, delivery, outcome, responseCode, startedAt }) {
      const failed = failsCircuit(outcome, responseCode);
      if (states.has(slug)) {
        // Late results of attempts that started before the probe say nothing new. A resend can be the probe, a test call not.
        if (startedAt < (probing.get(slug) ?? Number.POSITIVE_INFINITY) || isTestCall(delivery)) return;
        probing.delete(slug);
        const isFinal = outcome === "delivered" || outcome === "rejected" || outcome === "gone";
        endProbe(slug, isFinal ? "up" : failed ? "down" : "neither");
        return;
      }
      if (!delivery.counted || !isKnown(slug)) return;
      let window = windows.get(slug);
      if (window === undefined) {
        window = createFailureWindow(options.windowMs);
        windows.set(slug, window);
      }
      window.add(clock.now(), failed);
      if (failed || (others.has(slug) && isFailing(slug))) tellOf(slug);
      if (failed) open(slug);
    },

    apply,

    heard(replica, counts) {
      for (const { app, revision, ...rest } of counts) {
        // What was counted before the circuit closed says nothing any more.
        if (revision < (revisions.get(app) ?? 0) || states.has(app) || !isKnown(app)) continue;
        let ofApp = others.get(app);
        if (ofApp === undefined) {
          ofApp = new Map();
          others.set(app, ofApp);
          if (windows.has(app)) tellOf(app);
        }
        if (rest.attempts > 0) ofApp.set(replica, { app, revision, ...rest, at: clock.now() });
        else ofApp.delete(replica);
        if (ofApp.size === 0) others.delete(app);
        else open(app);
      }
    },

    forget(app) {
      forgetCounts(app);
      apply(app, CLOSED, revisions.get(app) ?? 0);
    },

    forgetRevisions: () => revisions.clear(),
    stateOf: (app) => states.get(app) ?? CLOSED,
    states: () => [...states.values()].map(({ state }) => state),
  };
}
