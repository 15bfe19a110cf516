/**
 * The circuits of all apps: attempts stop while a receiver is down, one probe tries it, and deliveries continue when it answers.
 * The state is shared through the store and pushed to every replica, so that no attempt reads it.
 */
import { type CircuitState, type CircuitStateName, CLOSED } from "../../model/circuit-state.ts";
import { failsCircuit } from "../../model/outcome.ts";
import type { AttemptRecord } from "../ports.ts";
import { AppCircuit, type AppCircuitDependencies, type AppCircuitOptions } from "./app-circuit.ts";
import { createAttemptTotals } from "./attempt-totals.ts";
import type { AttemptCounts } from "./ports.ts";
import { createRefusalStreaks } from "./refusal-streaks.ts";

export interface Circuits {
  /** Whether the app's circuit is not closed. Without effect. */
  isOpen(app: string): boolean;
  /** Whether this replica has the probe of an open circuit. May claim it: call it only with a delivery in hand. */
  tryAcquireProbe(app: string): boolean;
  /** Whether a probe of an open circuit is due, or this replica has it. Without effect. */
  mayProbe(app: string): boolean;
  /** Call it right before an attempt that will be reported: whether it may start. Uses up the probe of an open circuit. */
  tryStart(app: string): boolean;
  onAttempt(attempt: AttemptRecord): void;
  /** Closes the app's circuit for all replicas. Rejects when that can't be stored. */
  close(app: string): Promise<void>;
  /** The shared state has changed. @param state null: its record was deleted */
  apply(app: string, state: CircuitState | null, revision: number): void;
  /** The records are in another bucket, whose revisions begin at 1 again. */
  forgetRevisions(): void;
  /** Another replica's broadcast. */
  receive(replica: string, counts: readonly AttemptCounts[]): void;
  /** The app was deleted; an app that takes its slug starts with a closed circuit. */
  forget(app: string): void;
  /** Whether the last attempts all failed, as many as it takes to open a circuit: it is about to open. */
  isOpening(app: string): boolean;
  stateOf(app: string): CircuitState;
  /** States of the circuits that are not closed. */
  states(): Iterable<CircuitStateName>;
}

export interface CircuitOptions extends AppCircuitOptions {
  readonly windowMs: number;
  readonly minAttempts: number;
  readonly failurePercent: number;
}

export interface CircuitDependencies extends Omit<AppCircuitDependencies, "onClosed"> {
  /** Sends counts to the other replicas. */
  readonly broadcast: (counts: readonly AttemptCounts[]) => void;
}

export function createCircuitBreakers(dependencies: CircuitDependencies, options: CircuitOptions): Circuits {
  const { broadcast, isKnown, clock } = dependencies;
  const circuits = new Map<string, AppCircuit>();
  const failuresInRow = new Map<string, number>();
  const revisionOf = (app: string): number => circuits.get(app)?.revision ?? 0;
  const totals = createAttemptTotals({ broadcast, revisionOf, clock }, options);

  const streaks = createRefusalStreaks(clock, options);

  const forgetCounts = (app: string): void => {
    totals.forget(app);
    streaks.forget(app);
    failuresInRow.delete(app);
  };

  const circuitOf = (app: string): AppCircuit => {
    let circuit = circuits.get(app);
    if (circuit === undefined) {
      circuit = new AppCircuit(app, { ...dependencies, onClosed: forgetCounts }, options);
      circuits.set(app, circuit);
    }
    return circuit;
  };

  const isOpen = (app: string): boolean => circuits.get(app)?.isOpen() ?? false;

  const openIfFailing = (app: string): void => {
    const { attempts, failures } = totals.total(app);
    if (attempts < options.minAttempts || failures * 100 < attempts * options.failurePercent) return;
    circuitOf(app).open({ windowMs: options.windowMs, attempts, failures });
  };

  return {
    isOpen,
    tryAcquireProbe: (app) => circuits.get(app)?.tryAcquireProbe() ?? false,
    mayProbe: (app) => circuits.get(app)?.mayProbe() ?? false,
    tryStart: (app) => circuits.get(app)?.tryStart() ?? true,

    onAttempt(attempt) {
      const { app, delivery, receiver } = attempt;
      const circuit = circuits.get(app.slug);
      if (circuit?.isOpen()) return circuit.onAttempt(attempt);
      if (receiver === "unknown" || !delivery.counted || !isKnown(app.slug)) return;
      const failed = failsCircuit(receiver);
      if (failed) failuresInRow.set(app.slug, (failuresInRow.get(app.slug) ?? 0) + 1);
      else if (failuresInRow.size > 0) failuresInRow.delete(app.slug);
      totals.add(app.slug, failed);
      const refusesAll = streaks.note(app.slug, delivery.id, receiver);
      if (refusesAll !== null) circuitOf(app.slug).open(refusesAll);
      else if (failed) openIfFailing(app.slug);
    },

    close: (app) => circuitOf(app).close(),
    apply(app, state, revision) {
      // The records of apps that are gone are read at every start.
      if (state === null) circuits.get(app)?.apply(CLOSED, revision);
      else circuitOf(app).apply(state, revision);
    },

    receive(replica, counts) {
      for (const one of counts) {
        // Counts from before the circuit closed are void.
        if (one.revision < revisionOf(one.app) || isOpen(one.app) || !isKnown(one.app)) continue;
        if (totals.receive(replica, one)) openIfFailing(one.app);
      }
    },

    forget(app) {
      forgetCounts(app);
      circuits.get(app)?.apply(CLOSED, revisionOf(app));
      circuits.delete(app);
    },

    forgetRevisions() {
      for (const circuit of circuits.values()) circuit.forgetRevision();
    },
    isOpening: (app) =>
      streaks.isRefusingAll(app) ||
      ((failuresInRow.get(app) ?? 0) >= options.minAttempts && totals.total(app).failures >= options.minAttempts),
    stateOf: (app) => circuits.get(app)?.state ?? CLOSED,
    states: () => [...circuits.values()].filter((circuit) => circuit.isOpen()).map((circuit) => circuit.state.state),
  };
}
