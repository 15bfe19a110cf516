/**
 * Stores a delivery to be sent again at once: due in the retries stream, or in the parked queue where its order or its paused installation
 * would have it wait. There the owner of the queues finds it before its dead letter is gone (STOP-2).
 */
import type { Admission } from "../delivery/admission.ts";
import type { MessageRef, ParkedQueue } from "../delivery/ports.ts";
import type { TraceBatch } from "../delivery/tracing-ports.ts";
import type { DeliveryStreamWriter } from "../jetstream/delivery-streams.ts";
import type { Clock } from "../model/clock.ts";
import type { Delivery } from "../model/delivery.ts";

/** @param what was done, for its span @throws AppError STREAM_REFUSED */
export type StoreAgain = (delivery: Delivery, source: MessageRef, batch: TraceBatch, what: "replayed" | "resent") => Promise<void>;

export interface StoreAgainDependencies {
  readonly streams: Pick<DeliveryStreamWriter, "retry" | "park">;
  readonly admission: Pick<Admission, "parked">;
  /** Whether the app's deliveries go through its queue, for their order. */
  readonly keepsOrder: (app: string) => boolean;
  readonly onParked: (queue: ParkedQueue) => void;
  readonly clock: Clock;
}

export function createStoreAgain({ streams, admission, keepsOrder, onParked, clock }: StoreAgainDependencies): StoreAgain {
  return async (delivery, source, batch, what) => {
    if (!keepsOrder(delivery.app)) {
      const now = { dueAt: clock.now(), delayMs: 0, notBefore: false };
      await batch.store("retries", delivery, what, (trace) => streams.retry(delivery, now, source, trace));
      return;
    }
    const own: ParkedQueue = { app: delivery.app, installationUuid: null };
    const decision = admission.parked(delivery, own);
    const queue = decision.kind === "park" ? decision.queue : own;
    await batch.store("parked", delivery, what, (trace) => streams.park(delivery, queue, null, source, trace));
    onParked(queue);
  };
}
