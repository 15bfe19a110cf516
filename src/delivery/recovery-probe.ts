/**
 * Probes a broken installation: its oldest parked delivery is attempted out of turn, and stays in its queue if the attempt fails.
 *
 * A delivery that the receiver rejects says little about the receiver. The next probe therefore uses the delivery after it, so that
 * one unwanted delivery does not keep the integration broken. An ordered app can't get a later delivery first: there the probe is a
 * delivery that is the next one of its order (next-in-order.ts), and is given up when it is rejected for good, as it would be in its turn.
 */
import { type Installation, isOrdered } from "../model/app.ts";
import type { Delivery } from "../model/delivery.ts";
import type { Attempt } from "./attempt.ts";
import type { Dispatcher } from "./dispatcher.ts";
import { DEFERRED, givenUp } from "./disposition.ts";
import type { InFlight } from "./in-flight.ts";
import type { Bulkhead } from "./limits/bulkhead.ts";
import type { DestinationOf } from "./limits/destination.ts";
import type { HandOut, MessageRef, ParkedDelivery, ParkedQueue, RegistryView } from "./ports.ts";
import type { SkipDelivered } from "./skip-delivered.ts";
import type { Turns } from "./throttle/turns.ts";
import type { Tracing } from "./tracing-ports.ts";

export interface RecoveryProbeDependencies {
  /** Whether the queue is known to hold deliveries. */
  readonly queueBusy: (queue: ParkedQueue) => boolean;
  readonly registry: Pick<RegistryView, "app">;
  readonly dispatcher: Pick<Dispatcher, "apply">;
  /** The oldest delivery of the queue after a sequence of the stream. */
  readonly parkedAfter: (queue: ParkedQueue, sequence: number) => Promise<ParkedDelivery | null>;
  /** The delivery of an ordered app that overtakes nothing; null: none, as far as is known. */
  readonly nextInOrder: (queue: ParkedQueue & { readonly installationUuid: string }) => Promise<ParkedDelivery | null>;
  /** A delivery of an ordered app is a dead letter now, which may stop its key. */
  readonly onGivenUp: (delivery: Delivery, deadLetter: number, source: MessageRef) => Promise<void>;
  /** Removes the delivery from its queue. */
  readonly removeParked: (parked: ParkedDelivery) => Promise<void>;
  readonly isBroken: (installationUuid: string) => boolean;
  /** Whether the app's circuit rejects attempts. May claim its probe, so it is called only with a delivery in the queue. */
  readonly circuitOpen: (app: string) => boolean;
  readonly attempt: Attempt;
  readonly turns: Pick<Turns, "take">;
  readonly bulkhead: Bulkhead;
  readonly destinationOf: DestinationOf;
  readonly inFlight: InFlight;
  readonly skipDelivered: SkipDelivered;
  /** A probe whose delivery kills the process each time is given up. */
  readonly handOut: (delivery: Delivery) => HandOut;
  readonly tracing: Tracing;
}

export interface RecoveryProbe {
  /** Whether a delivery is known to wait for the installation and the app's circuit admits it. */
  isPossible(installation: Installation): boolean;
  /** The next probe, ready to run; null when no delivery waits that may be attempted. */
  prepare(installation: Installation): Promise<(() => Promise<ProbeResult>) | null>;
}

/** `deferred`: there was no attempt. */
export type ProbeResult = "delivered" | "failed" | "deferred";

/** `rejected`: the receiver refuses it. `given-up`: rejected for good, and now in dead letters. */
type ProbeEnd = ProbeResult | "rejected" | "given-up";

export function createRecoveryProbe(dependencies: RecoveryProbeDependencies): RecoveryProbe {
  const {
    queueBusy,
    registry,
    dispatcher,
    parkedAfter,
    nextInOrder,
    onGivenUp,
    removeParked,
    isBroken,
    circuitOpen,
    attempt,
    turns,
    bulkhead,
    destinationOf,
    inFlight,
    skipDelivered,
    handOut: handOutOf,
    tracing,
  } = dependencies;
  /** Installation → the sequence of its last rejected delivery. */
  const rejectedUpTo = new Map<string, number>();

  const nextIn = async (queue: ParkedQueue, uuid: string): Promise<ParkedDelivery | null> => {
    for (;;) {
      const found = (await parkedAfter(queue, rejectedUpTo.get(uuid) ?? 0)) ?? (await parkedAfter(queue, 0));
      // A delivered one is still here because its process died before it could remove it.
      if (found === null || !(await skipDelivered(found.delivery))) return found;
      await removeParked(found);
    }
  };

  const attemptOnce = async ({ delivery, source }: ParkedDelivery): Promise<ProbeEnd> => {
    const share = `probe:${delivery.installationUuid}`;
    const destination = destinationOf(delivery.installationUuid);
    if ((await turns.take(delivery.app)) === "closed") return "deferred";
    if ((await bulkhead.enterWhenFree(share, destination)) === "closed") return "deferred";
    const handOut = handOutOf(delivery);
    try {
      // A person may have disabled the installation during the wait.
      if (!isBroken(delivery.installationUuid)) return "deferred";
      return await tracing.start("probe", delivery.event, async (span): Promise<ProbeEnd> => {
        const poison = await handOut.begin();
        const disposition =
          poison === null
            ? await inFlight.alone(delivery, (hasWaited) => (hasWaited ? Promise.resolve(DEFERRED) : attempt(delivery, span)))
            : givenUp(delivery, "redelivered", poison);
        if (disposition.kind === "deferred") handOut.giveBack();
        if (disposition.kind === "deferred" || disposition.kind === "delivered") return disposition.kind;
        const isRejectedForGood = disposition.kind === "dead-letter" && disposition.reason === "rejected";
        const isGivenUp = poison !== null || isRejectedForGood;
        const isRejected = isRejectedForGood || disposition.record?.outcome === "rejected";
        if (isRejected && !isOrdered(registry.app(delivery.app))) return "rejected";
        if (!isGivenUp) return "failed";
        const deadLetter = await dispatcher.apply(disposition, source, span);
        if (deadLetter !== null) await onGivenUp(disposition.delivery, deadLetter, source);
        return "given-up";
      });
    } finally {
      handOut.end();
      bulkhead.leave(share, destination);
    }
  };

  return {
    isPossible: ({ app, uuid }) => queueBusy({ app, installationUuid: uuid }) && !circuitOpen(app),

    async prepare({ app, uuid }) {
      const queue = { app, installationUuid: uuid };
      const found = await (isOrdered(registry.app(app)) ? nextInOrder(queue) : nextIn(queue, uuid));
      if (found === null) return null;
      return async () => {
        const end = await attemptOnce(found);
        if (end === "deferred") return "deferred";
        if (end === "rejected") rejectedUpTo.set(uuid, found.source.sequence);
        else rejectedUpTo.delete(uuid);
        // If the removal fails, the dedup key prevents a second delivery.
        if (end === "delivered" || end === "given-up") await removeParked(found).catch(() => {});
        return end === "delivered" ? "delivered" : "failed";
      };
    },
  };
}
