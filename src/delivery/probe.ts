/**
 * The probe of an installation whose deliveries are parked: the oldest of them is attempted out of its turn, and stays
 * where it is when it fails.
 *
 * A delivery that the receiver refuses for good says little about the receiver: the next probe takes the one behind it, so
 * that one which nobody wants does not keep its integration broken for ever.
 */
import type { Installation } from "../model/app.ts";
import { markOf } from "../model/delivery.ts";
import type { Attempt, Held, Verdict } from "./attempt.ts";
import type { Bulkhead } from "./bulkhead.ts";
import type { DestinationOf } from "./destination.ts";
import type { AttemptLog, DeliveryObserver, ParkedDelivery, ParkedQueue, Tracing } from "./ports.ts";

export interface ProbeDependencies {
  /** Whether deliveries are known to wait there. */
  readonly queueBusy: (queue: ParkedQueue) => boolean;
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
  readonly log: AttemptLog;
  readonly observer: DeliveryObserver;
  readonly tracing: Tracing;
}

/** Null when nothing waits, or has to wait for the app's circuit. What it resolves to attempts the delivery and says whether it was delivered. */
export type NextProbe = (installation: Installation) => Promise<(() => Promise<ProbeResult>) | null>;

/** `held`: there was no attempt. */
export type ProbeResult = "delivered" | "failed" | "held";

export function createNextProbe(dependencies: ProbeDependencies): NextProbe {
  const { queueBusy, parkedAfter, removeParked, isBroken, circuitOpen, attempt, bulkhead, destinationOf, log, observer, tracing } =
    dependencies;
  /** Installation → the sequence of what was last refused for good. */
  const refusedUpTo = new Map<string, number>();

  const nextIn = async (queue: ParkedQueue, uuid: string): Promise<ParkedDelivery | null> => {
    for (;;) {
      const found = (await parkedAfter(queue, refusedUpTo.get(uuid) ?? 0)) ?? (await parkedAfter(queue, 0));
      if (found === null || !(await log.wasDelivered(found.delivery.app, markOf(found.delivery)))) return found;
      // Whoever delivered it died before it could take it out.
      observer.skipped(found.delivery);
      await removeParked(found);
    }
  };

  const attemptOnce = async ({ delivery }: ParkedDelivery): Promise<Verdict | Held | "closed"> => {
    const share = `probe:${delivery.installationUuid}`;
    const destination = destinationOf(delivery.installationUuid);
    if ((await bulkhead.enterWhenFree(share, destination)) === "closed") return "closed";
    try {
      // A person may have disabled it meanwhile.
      if (!isBroken(delivery.installationUuid)) return "closed";
      return await tracing.start("probe", delivery.event, (span) => attempt(delivery, span));
    } finally {
      bulkhead.leave(share, destination);
    }
  };

  return async ({ app, uuid }) => {
    const queue: ParkedQueue = { app, installationUuid: uuid };
    const found = queueBusy(queue) ? await nextIn(queue, uuid) : null;
    if (found === null || circuitOpen(app)) return null;
    return async () => {
      const verdict = await attemptOnce(found);
      if (verdict === "closed" || verdict.kind === "held") return "held";
      if (verdict.kind === "dead-letter" && verdict.reason === "rejected") refusedUpTo.set(uuid, found.source.sequence);
      else refusedUpTo.delete(uuid);
      if (verdict.kind !== "delivered") return "failed";
      // If it can't be taken out now, its mark keeps it from being delivered again.
      await removeParked(found).catch(() => {});
      return "delivered";
    };
  };
}
