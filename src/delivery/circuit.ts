/**
 * The circuit of each app: stop hitting what is down, look again with one attempt, go on when it answers.
 *
 * C1  Each replica judges by the attempts it made itself; the state is shared through the store and pushed to every
 *     replica, so that nothing is read per attempt.
 * C2  Half-open admits one attempt over all replicas: the store's compare-and-set hands the probe to one of them, with a
 *     lease, so that a probe that died with its process does not keep the circuit open for ever. Who has no delivery to
 *     make it with (another replica holds them all) gives it back.
 * C3  A state is never followed by an older one: what this replica wrote itself may be known before it is pushed.
 * C4  When the store can't be reached the state stays as it is: no delivery waits for it.
 */
import { messageOf } from "../model/app-error.ts";
import type { Clock } from "../model/clock.ts";
import type { Logger } from "../model/logger.ts";
import { failsCircuit } from "../model/outcome.ts";
import { createFailureWindow, type FailureWindow } from "./failure-window.ts";
import type { AttemptRecord, CircuitChange, CircuitState, CircuitStore } from "./ports.ts";

export interface Circuits {
  /**
   * Whether the circuit keeps an attempt from starting now. A half-open circuit says false once to the replica that has
   * the probe: ask only right before an attempt.
   */
  blocks(app: string): boolean;
  /** As `blocks`, without taking the probe. */
  isOpen(app: string): boolean;
  judge(attempt: AttemptRecord): void;
  /** The shared state has changed. */
  apply(app: string, state: CircuitState, revision: number): void;
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
  readonly clock: Clock;
  readonly logger: Logger;
  /** The app may be attempted (again): what waits in its queues can go. */
  readonly onAdmitting: (app: string) => void;
}

/** A delivery that waits here would have started by then. */
const UNUSED_PROBE_MS = 1_000;

export const CLOSED: CircuitState = { state: "closed", openForMs: 0, openUntil: 0, probeUntil: 0, probeBy: null };

export function createCircuits({ store, clock, logger, onAdmitting }: CircuitDependencies, options: CircuitOptions): Circuits {
  const windows = new Map<string, FailureWindow>();
  const states = new Map<string, CircuitState>();
  const revisions = new Map<string, number>();
  /** Apps whose probe this replica holds and has not started yet, with what keeps it from being given back. */
  const probes = new Map<string, () => void>();
  /** App → when this replica let the probe through. */
  const probing = new Map<string, number>();
  const changing = new Set<string>();

  /** @returns whether there was one. */
  const takeProbe = (app: string): boolean => {
    probes.get(app)?.();
    return probes.delete(app);
  };

  const apply = (app: string, state: CircuitState, revision: number): void => {
    if (revision < (revisions.get(app) ?? 0)) return;
    revisions.set(app, revision);
    const before = states.get(app) ?? CLOSED;
    if (state.state === "closed") states.delete(app);
    else states.set(app, state);
    if (state.state !== "half_open" || state.probeBy !== options.replica) {
      takeProbe(app);
      probing.delete(app);
    }
    if (state.state === "closed" && before.state !== "closed") {
      windows.delete(app);
      onAdmitting(app);
    }
  };

  const change = (app: string, decide: (current: CircuitState) => CircuitChange | null, then?: () => void): void => {
    if (changing.has(app)) return;
    changing.add(app);
    store
      .change(app, decide)
      .then(
        ({ state, revision }) => {
          apply(app, state, revision);
          then?.();
        },
        (error: unknown) => logger.warn({ app, error: messageOf(error) }, "circuit state can't be stored"),
      )
      .finally(() => changing.delete(app));
  };

  const mayProbe = (state: CircuitState, nowMs: number): boolean =>
    (state.state === "open" && nowMs >= state.openUntil) || (state.state === "half_open" && nowMs >= state.probeUntil);

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
        if (state?.state !== "half_open" || state.probeBy !== options.replica) return;
        takeProbe(app);
        probes.set(
          app,
          clock.after(UNUSED_PROBE_MS, () => giveBackProbe(app)),
        );
        onAdmitting(app);
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

  const open = (app: string, window: FailureWindow): void => {
    const nowMs = clock.now();
    const counts = window.counts(nowMs);
    if (counts.attempts < options.minAttempts || counts.failures * 100 < counts.attempts * options.failurePercent) return;
    change(app, (current) => {
      if (current.state !== "closed") return null;
      const openForMs = options.openTimeMs;
      const next: CircuitState = { state: "open", openForMs, openUntil: nowMs + openForMs, probeUntil: 0, probeBy: null };
      return { next, announce: "opened", reason: { windowMs: options.windowMs, ...counts } };
    });
  };

  const endProbe = (app: string, failed: boolean): void => {
    change(app, (current) => {
      if (current.state !== "half_open" || current.probeBy !== options.replica) return null;
      if (!failed) return { next: CLOSED, announce: "closed", reason: null };
      const openForMs = Math.min(current.openForMs * 2, options.maxOpenTimeMs);
      const next: CircuitState = { state: "open", openForMs, openUntil: clock.now() + openForMs, probeUntil: 0, probeBy: null };
      return { next, announce: null, reason: null };
    });
  };

  return {
    blocks(app) {
      const state = states.get(app);
      if (state === undefined) return false;
      if (takeProbe(app)) {
        probing.set(app, clock.now());
        return false;
      }
      if (mayProbe(state, clock.now())) claimProbe(app);
      return true;
    },

    isOpen: (app) => states.has(app) && !probes.has(app),

    judge({ app: { slug }, outcome, responseCode, startedAt }) {
      const failed = failsCircuit(outcome, responseCode);
      if (states.has(slug)) {
        // Late results of attempts that started before the probe say nothing new.
        if (startedAt < (probing.get(slug) ?? Number.POSITIVE_INFINITY)) return;
        probing.delete(slug);
        endProbe(slug, failed);
        return;
      }
      let window = windows.get(slug);
      if (window === undefined) {
        window = createFailureWindow(options.windowMs);
        windows.set(slug, window);
      }
      window.add(clock.now(), failed);
      if (failed) open(slug, window);
    },

    apply,
    stateOf: (app) => states.get(app) ?? CLOSED,
    states: () => [...states.values()].map(({ state }) => state),
  };
}
