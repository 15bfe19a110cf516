/**
 * The circuit of one app on one replica: the shared state, and what this replica does about the probe.
 *
 * CIRCUIT-2  Half-open admits one attempt over all replicas: the store's compare-and-set gives the probe to one replica, with
 *            a lease, so that a probe that died with its process does not keep the circuit open. A replica without a delivery
 *            for its probe gives it back.
 * CIRCUIT-3  A state is never replaced by an older one: this replica may know its own write before the watch brings it.
 * CIRCUIT-4  The circuit closes after a success and after a refusal of the payload (400), which only a working receiver sends. It
 *            stays open twice as long after a failure. After a refusal of the endpoint (404), "not now" (429), 410, and a fault of
 *            Posthorn's side it stays open as long as before: the receiver answers, so that a probe costs it little.
 * CIRCUIT-5  The state stays as it is while the store can't be reached. No delivery waits for the store. A full store doesn't keep
 *            the circuit open either, because only deliveries make room: a replica that can't store its claim makes the probe
 *            all the same, and one whose probe succeeds closes the circuit here and stores that when it can.
 */
import { AppError, messageOf } from "../../model/app-error.ts";
import { type CircuitState, CLOSED } from "../../model/circuit-state.ts";
import type { Clock } from "../../model/clock.ts";
import { isTestCall } from "../../model/delivery.ts";
import type { Logger } from "../../model/logger.ts";
import type { AttemptRecord } from "../ports.ts";
import type { CircuitReason, CircuitStore, DecideCircuit } from "./ports.ts";
import { isProbeDue, isProbeOf, opened, probeClaimed, probeEnded, probeGivenBack } from "./transitions.ts";

export interface AppCircuit {
  /** Without effect. */
  isOpen(): boolean;
  /** Whether this replica has the probe. Claims it if it is due; the claim takes effect later. */
  tryAcquireProbe(): boolean;
  /** Whether an attempt may start now. Uses up the probe of an open circuit; the attempt's result decides what follows. */
  tryStart(): boolean;
  /** An attempt ended while the circuit was open. */
  onAttempt(attempt: AttemptRecord): void;
  open(reason: CircuitReason): void;
  apply(state: CircuitState, revision: number): void;
  state(): CircuitState;
  /** Revision of the shared state; 0: none is known. */
  revision(): number;
  forgetRevision(): void;
}

export interface AppCircuitOptions {
  readonly openTimeMs: number;
  readonly maxOpenTimeMs: number;
  /** How long a probe of the app may take before another replica may claim it. */
  readonly probeLeaseMs: (app: string) => number;
  /** Names this replica. */
  readonly replica: string;
}

export interface AppCircuitDependencies {
  readonly store: CircuitStore;
  /** Whether the app exists (still). */
  readonly isKnown: (app: string) => boolean;
  readonly clock: Clock;
  readonly logger: Logger;
  /** The circuit closed. */
  readonly onClosed: (app: string) => void;
  /** The app's deliveries can be attempted (again): its queues can continue. */
  readonly onAdmitting: (app: string) => void;
}

/** `claimed`: not started yet; `cancel` keeps it from being given back. `started`: the attempt began at `at`. */
type Probe =
  | { readonly kind: "none" }
  | { readonly kind: "claimed"; readonly cancel: () => void }
  | { readonly kind: "started"; readonly at: number };

const NO_PROBE: Probe = { kind: "none" };

/** A delivery that waits on this replica would have started the probe by then. */
const UNUSED_PROBE_MS = 1_000;
const STORE_AGAIN_MS = 1_000;

export function createAppCircuit(app: string, dependencies: AppCircuitDependencies, options: AppCircuitOptions): AppCircuit {
  const { store, isKnown, clock, logger, onClosed, onAdmitting } = dependencies;
  const { replica } = options;
  let state: CircuitState = CLOSED;
  let revision = 0;
  let probe: Probe = NO_PROBE;
  let isChanging = false;
  /** Revision of the open state that this replica has closed and could not store yet. */
  let closedRevision: number | null = null;

  const setProbe = (next: Probe): void => {
    if (probe.kind === "claimed") probe.cancel();
    probe = next;
  };

  const holdProbe = (forMs: number): void => setProbe({ kind: "claimed", cancel: clock.after(forMs, giveBackProbe) });
  const apply = (next: CircuitState, nextRevision: number): void => {
    // CIRCUIT-3
    if (nextRevision < revision || nextRevision === closedRevision) return;
    closedRevision = null;
    revision = nextRevision;
    const before = state;
    state = next;
    if (!isProbeOf(next, replica)) setProbe(NO_PROBE);
    if (next.state === "closed" && before.state !== "closed") {
      onClosed(app);
      onAdmitting(app);
    }
  };

  /** @param then the state is stored @param otherwise it could not be stored */
  const change = (decide: DecideCircuit, then?: () => void, otherwise?: (isFull: boolean) => void): void => {
    if (isChanging) return;
    isChanging = true;
    store
      .change(app, decide)
      .then(
        (stored) => {
          apply(stored.state, stored.revision);
          then?.();
        },
        (error: unknown) => {
          logger.warn({ app, error: messageOf(error) }, "circuit state can't be stored");
          otherwise?.(error instanceof AppError && error.code === "STORE_FULL");
        },
      )
      .finally(() => {
        isChanging = false;
      });
  };

  /** The next probe is due at the same time as if the state were stored. */
  const openHere = (openForMs: number): void => {
    if (state.state !== "closed") state = { state: "open", openForMs, openUntil: clock.now() + openForMs };
  };

  const closeHere = (): void => {
    if (state.state === "closed") return;
    closedRevision = revision;
    state = CLOSED;
    onClosed(app);
    onAdmitting(app);
    storeClosed();
  };

  const storeClosed = (): void => {
    if (closedRevision === null) return;
    change(
      (current) => (current.state === "closed" || closedRevision === null ? null : { next: CLOSED, announce: "closed", reason: null }),
      () => {
        closedRevision = null;
      },
      () => void clock.after(STORE_AGAIN_MS, storeClosed),
    );
  };

  const takeProbe = (): void => {
    holdProbe(UNUSED_PROBE_MS);
    onAdmitting(app);
  };

  const claimProbe = (): void =>
    change(
      (current) => probeClaimed(current, replica, clock.now(), options.probeLeaseMs(app)),
      () => {
        if (isProbeOf(state, replica)) takeProbe();
      },
      (isFull) => {
        if (!isFull) return;
        openHere(state.state === "closed" ? options.openTimeMs : state.openForMs);
        takeProbe();
      },
    );

  const giveBackProbe = (): void => {
    if (probe.kind !== "claimed") return;
    setProbe(NO_PROBE);
    change((current) => probeGivenBack(current, replica, clock.now()));
  };

  return {
    isOpen: () => state.state !== "closed",

    tryAcquireProbe() {
      if (probe.kind === "claimed") {
        // The delivery that makes the probe may have to wait for a slot: from here on the lease is the limit.
        holdProbe(state.state === "half_open" ? Math.max(0, state.probeUntil - clock.now()) : options.probeLeaseMs(app));
        return true;
      }
      if (isProbeDue(state, clock.now())) claimProbe();
      return false;
    },

    tryStart() {
      if (state.state === "closed") return true;
      if (probe.kind !== "claimed") return false;
      setProbe({ kind: "started", at: clock.now() });
      return true;
    },

    onAttempt({ delivery, receiver, startedAt }) {
      // Attempts that started before the probe say nothing new. A resend can be the probe; a test call can't.
      if (probe.kind !== "started" || startedAt < probe.at || isTestCall(delivery)) return;
      setProbe(NO_PROBE);
      const before = state.state === "closed" ? options.openTimeMs : state.openForMs;
      change(
        (current) => probeEnded(current, replica, receiver, { nowMs: clock.now(), maxOpenTimeMs: options.maxOpenTimeMs }),
        () => {
          // A probe whose claim was not stored: its result is the newest that is known.
          if (receiver === "up" && state.state === "open") closeHere();
        },
        () => {
          if (receiver === "up") closeHere();
          else openHere(receiver === "down" ? Math.min(before * 2, options.maxOpenTimeMs) : before);
        },
      );
    },

    open(reason) {
      change((current) => (isKnown(app) ? opened(current, options.openTimeMs, clock.now(), reason) : null));
    },

    apply,
    state: () => state,
    revision: () => revision,
    forgetRevision() {
      revision = 0;
    },
  };
}
