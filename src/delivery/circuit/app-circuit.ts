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
import { closed, isProbeDue, isProbeOf, opened, probeClaimed, probeEnded, probeGivenBack } from "./transitions.ts";

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

interface ChangeEnds {
  /** The state is stored. */
  readonly onStored?: () => void;
  /** It could not be stored. */
  readonly onFailed?: (isFull: boolean) => void;
}

const NO_PROBE: Probe = { kind: "none" };

/** A delivery that waits on this replica would have started the probe by then. */
const UNUSED_PROBE_MS = 1_000;
const STORE_AGAIN_MS = 1_000;

export class AppCircuit {
  private readonly app: string;
  private readonly dependencies: AppCircuitDependencies;
  private readonly options: AppCircuitOptions;
  private shared: CircuitState = CLOSED;
  private sharedRevision = 0;
  private probe: Probe = NO_PROBE;
  private isChanging = false;
  /** Revision of the open state that this replica has closed and could not store yet. */
  private closedRevision: number | null = null;

  constructor(app: string, dependencies: AppCircuitDependencies, options: AppCircuitOptions) {
    this.app = app;
    this.dependencies = dependencies;
    this.options = options;
  }

  get state(): CircuitState {
    return this.shared;
  }

  /** Revision of the shared state; 0: none is known. */
  get revision(): number {
    return this.sharedRevision;
  }

  /** Without effect. */
  isOpen(): boolean {
    return this.shared.state !== "closed";
  }

  /** Without effect. */
  mayProbe(): boolean {
    return this.probe.kind === "claimed" || isProbeDue(this.shared, this.dependencies.clock.now());
  }

  /** Whether this replica has the probe. Claims it if it is due; the claim takes effect later. */
  tryAcquireProbe(): boolean {
    const { clock } = this.dependencies;
    if (this.probe.kind === "claimed") {
      // The delivery that makes the probe may have to wait for a slot: from here on the lease is the limit.
      this.keepProbe(
        this.shared.state === "half_open" ? Math.max(0, this.shared.probeUntil - clock.now()) : this.options.probeLeaseMs(this.app),
      );
      return true;
    }
    if (isProbeDue(this.shared, clock.now())) this.acquireProbe();
    return false;
  }

  /** Whether an attempt may start now. Uses up the probe of an open circuit; the attempt's result decides what follows. */
  tryStart(): boolean {
    if (this.shared.state === "closed") return true;
    if (this.probe.kind !== "claimed") return false;
    this.setProbe({ kind: "started", at: this.dependencies.clock.now() });
    return true;
  }

  /** An attempt ended while the circuit was open (CIRCUIT-4). */
  onAttempt({ delivery, receiver, startedAt }: AttemptRecord): void {
    // Attempts that started before the probe say nothing new. A resend can be the probe; a test call can't.
    if (this.probe.kind !== "started" || startedAt < this.probe.at || isTestCall(delivery)) return;
    this.setProbe(NO_PROBE);
    const { clock } = this.dependencies;
    const { openTimeMs, maxOpenTimeMs, replica } = this.options;
    const before = this.shared.state === "closed" ? openTimeMs : this.shared.openForMs;
    this.change((current) => probeEnded(current, replica, receiver, { nowMs: clock.now(), maxOpenTimeMs }), {
      onStored: () => {
        // A probe whose claim was not stored: its result is the newest that is known.
        if (receiver === "up" && this.shared.state === "open") this.closeHere();
      },
      onFailed: () => {
        if (receiver === "up") this.closeHere();
        else this.openHere(receiver === "down" ? Math.min(before * 2, maxOpenTimeMs) : before);
      },
    });
  }

  open(reason: CircuitReason): void {
    const { isKnown, clock } = this.dependencies;
    this.change((current) => (isKnown(this.app) ? opened(current, this.options.openTimeMs, clock.now(), reason) : null));
  }

  /** Closes it for all replicas. Rejects when that can't be stored. */
  async close(): Promise<void> {
    const { state, revision } = await this.dependencies.store.change(this.app, closed);
    this.apply(state, revision);
  }

  apply(next: CircuitState, nextRevision: number): void {
    // CIRCUIT-3
    if (nextRevision < this.sharedRevision || nextRevision === this.closedRevision) return;
    this.closedRevision = null;
    this.sharedRevision = nextRevision;
    const before = this.shared;
    this.shared = next;
    if (!isProbeOf(next, this.options.replica)) this.setProbe(NO_PROBE);
    if (next.state === "closed" && before.state !== "closed") this.admitAll();
  }

  forgetRevision(): void {
    this.sharedRevision = 0;
  }

  private setProbe(next: Probe): void {
    if (this.probe.kind === "claimed") this.probe.cancel();
    this.probe = next;
  }

  private keepProbe(forMs: number): void {
    this.setProbe({ kind: "claimed", cancel: this.dependencies.clock.after(forMs, () => this.giveBackProbe()) });
  }

  private change(decide: DecideCircuit, { onStored, onFailed }: ChangeEnds = {}): void {
    if (this.isChanging) return;
    this.isChanging = true;
    const { store, logger } = this.dependencies;
    store
      .change(this.app, decide)
      .then(
        (stored) => {
          this.apply(stored.state, stored.revision);
          onStored?.();
        },
        (error: unknown) => {
          logger.warn({ app: this.app, error: messageOf(error) }, "circuit state can't be stored");
          onFailed?.(error instanceof AppError && error.code === "STORE_FULL");
        },
      )
      .finally(() => {
        this.isChanging = false;
      });
  }

  /** The next probe is due at the same time as if the state were stored. */
  private openHere(openForMs: number): void {
    if (this.shared.state === "closed") return;
    this.shared = { state: "open", openForMs, openUntil: this.dependencies.clock.now() + openForMs };
  }

  private closeHere(): void {
    if (this.shared.state === "closed") return;
    this.closedRevision = this.sharedRevision;
    this.shared = CLOSED;
    this.admitAll();
    this.storeClosed();
  }

  private storeClosed(): void {
    if (this.closedRevision === null) return;
    this.change((current) => (this.closedRevision === null ? null : closed(current)), {
      onStored: () => {
        this.closedRevision = null;
      },
      onFailed: () => void this.dependencies.clock.after(STORE_AGAIN_MS, () => this.storeClosed()),
    });
  }

  private admitAll(): void {
    this.dependencies.onClosed(this.app);
    this.dependencies.onAdmitting(this.app);
  }

  private acquireProbe(): void {
    const { clock, onAdmitting } = this.dependencies;
    const { replica, probeLeaseMs, openTimeMs } = this.options;
    const take = (): void => {
      this.keepProbe(UNUSED_PROBE_MS);
      onAdmitting(this.app);
    };
    this.change((current) => probeClaimed(current, replica, clock.now(), probeLeaseMs(this.app)), {
      onStored: () => {
        if (isProbeOf(this.shared, replica)) take();
      },
      onFailed: (isFull) => {
        if (!isFull) return;
        this.openHere(this.shared.state === "closed" ? openTimeMs : this.shared.openForMs);
        take();
      },
    });
  }

  private giveBackProbe(): void {
    if (this.probe.kind !== "claimed") return;
    this.setProbe(NO_PROBE);
    this.change((current) => probeGivenBack(current, this.options.replica, this.dependencies.clock.now()));
  }
}
