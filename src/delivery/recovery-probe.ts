/**
 * The probe of an installation whose deliveries are parked: the oldest of them is attempted out of its turn, and stays
 * where it is when it fails.
 *
 * A delivery that the receiver refuses for good says little about the receiver: the next probe takes the one behind it, so
 * that one which nobody wants does not keep its integration broken for ever. For an ordered app nothing may be delivered
 * before it: there it is given up, as it would be in its turn.
 */
import { type Installation, isOrdered } from "../model/app.ts";
import { type Attempt, HELD } from "./attempt.ts";
import type { Dispatcher } from "./dispatcher.ts";
import type { InFlight } from "./in-flight.ts";
import type { Bulkhead } from "./limits/bulkhead.ts";
import type { DestinationOf } from "./limits/destination.ts";
import type { ParkedDelivery, ParkedQueue, RegistryView, Tracing } from "./ports.ts";
import type { SkipDelivered } from "./skip-delivered.ts";

export interface ProbeDependencies {
  /** Whether deliveries are known to wait there. */
  readonly queueBusy: (queue: ParkedQueue) => boolean;
  readonly registry: Pick<RegistryView, "app">;
  readonly dispatcher: Pick<Dispatcher, "settle">;
  /** The oldest one that was stored after a sequence. */
  readonly parkedAfter: (queue: ParkedQueue, sequence: number) => Promise<ParkedDelivery | null>;
  /** Takes it out of its queue. */
  readonly removeParked: (parked: ParkedDelivery) => Promise<void>;
  readonly isBroken: (installationUuid: string) => boolean;
  /** Whether the app's circuit keeps attempts from starting now (circuit.ts blocks). */
  readonly circuitOpen: (app: string) => boolean;
  readonly attempt: Attempt;
  readonly bulkhead: Bulkhead;
  readonly destinationOf: DestinationOf;
  readonly inFlight: InFlight;
  readonly skipDelivered: SkipDelivered;
  readonly tracing: Tracing;
}

export interface Probes {
  /** Whether something is known to wait for the installation, and the app's circuit lets it go. */
  canProbe(installation: Installation): boolean;
  /** Null when nothing waits. What it resolves to attempts the delivery and says whether it was delivered. */
  next(installation: Installation): Promise<(() => Promise<ProbeResult>) | null>;
}

/** `held`: there was no attempt. */
export type ProbeResult = "delivered" | "failed" | "held";

/** `refused`: for good. `given up`: that, and it is in dead letters. */
type ProbeEnd = ProbeResult | "refused" | "given up";

export function createProbes(dependencies: ProbeDependencies): Probes {
  const {
    queueBusy,
    registry,
    dispatcher,
    parkedAfter,
    removeParked,
    isBroken,
    circuitOpen,
    attempt,
    bulkhead,
    destinationOf,
    inFlight,
    skipDelivered,
    tracing,
  } = dependencies;
  /** Installation → the sequence of what was last refused for good. */
  const refusedUpTo = new Map<string, number>();

  const nextIn = async (queue: ParkedQueue, uuid: string): Promise<ParkedDelivery | null> => {
    for (;;) {
      const found = (await parkedAfter(queue, refusedUpTo.get(uuid) ?? 0)) ?? (await parkedAfter(queue, 0));
      // One that is done was left there by a process that died before it could take it out.
      if (found === null || !(await skipDelivered(found.delivery))) return found;
      await removeParked(found);
    }
  };

  const attemptOnce = async ({ delivery, source }: ParkedDelivery): Promise<ProbeEnd> => {
    const share = `probe:${delivery.installationUuid}`;
    const destination = destinationOf(delivery.installationUuid);
    if ((await bulkhead.enterWhenFree(share, destination)) === "closed") return "held";
    try {
      // A person may have disabled it meanwhile.
      if (!isBroken(delivery.installationUuid)) return "held";
      return await tracing.start("probe", delivery.event, async (span): Promise<ProbeEnd> => {
        const disposition = await inFlight.alone(delivery, (hasWaited) => (hasWaited ? Promise.resolve(HELD) : attempt(delivery, span)));
        if (disposition.kind === "held" || disposition.kind === "delivered") return disposition.kind;
        if (disposition.kind === "retry" || disposition.reason !== "rejected") return "failed";
        if (!isOrdered(registry.app(delivery.app))) return "refused";
        await dispatcher.settle(disposition, source, span);
        return "given up";
      });
    } finally {
      bulkhead.leave(share, destination);
    }
  };

  return {
    canProbe: ({ app, uuid }) => queueBusy({ app, installationUuid: uuid }) && !circuitOpen(app),

    async next({ app, uuid }) {
      const found = await nextIn({ app, installationUuid: uuid }, uuid);
      if (found === null) return null;
      return async () => {
        const end = await attemptOnce(found);
        if (end === "held") return "held";
        if (end === "refused") refusedUpTo.set(uuid, found.source.sequence);
        else refusedUpTo.delete(uuid);
        // If it can't be taken out now, its mark keeps what was delivered from being delivered again.
        if (end === "delivered" || end === "given up") await removeParked(found).catch(() => {});
        return end === "delivered" ? "delivered" : "failed";
      };
    },
  };
}
