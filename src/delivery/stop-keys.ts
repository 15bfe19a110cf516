/**
 * Stops the order keys of deliveries that the owner of the queues does not give up itself: a probe's, and those that expire in a queue
 * that nobody attempts. The owner finds the stop in the stream (subscribers/ordered/key-stops.ts).
 */
import { mayStopKeys, type OrderBy } from "../model/app.ts";
import { unlessTooLarge } from "../model/app-error.ts";
import type { Clock } from "../model/clock.ts";
import type { Delivery } from "../model/delivery.ts";
import { STOPS } from "../model/key-stop.ts";
import type { DeliveryStreams, MessageRef, ParkedQueue, RegistryView } from "./ports.ts";

export type StopKeys = ReturnType<typeof createStopKeys>;

export interface StopKeysDependencies {
  readonly registry: Pick<RegistryView, "app">;
  readonly streams: Pick<DeliveryStreams, "park">;
  readonly onParked: (queue: ParkedQueue) => void;
  /** The sequence of the delivery's dead letter, if it stops its key. */
  readonly deadLetterOf: (delivery: Delivery) => Promise<number | null>;
  readonly clock: Pick<Clock, "now">;
}

export function createStopKeys({ registry, streams, onParked, deadLetterOf, clock }: StopKeysDependencies) {
  /** Null: its app's record lets nothing stop a key. */
  const stoppingOrder = (delivery: Delivery): OrderBy | null => {
    const app = registry.app(delivery.app);
    return mayStopKeys(app) ? app.orderBy : null;
  };

  /** The delivery is a dead letter, which may stop its key. */
  const givenUp = async (delivery: Delivery, deadLetter: number, source: MessageRef): Promise<void> => {
    const orderBy = stoppingOrder(delivery);
    if (orderBy === null) return;
    const stops: ParkedQueue = { app: delivery.app, installationUuid: STOPS };
    // Its dead letter counts as a store, too.
    const stored = { ...delivery, stores: delivery.stores + 1 };
    // One that is too large for the stream stops no key.
    if (await unlessTooLarge(streams.park(stored, stops, null, source, delivery.event, { deadLetter, orderBy, since: clock.now() })))
      onParked(stops);
  };

  return {
    givenUp,
    /** The delivery was done before, perhaps by a process that died before it stopped the key. @returns whether the key stops */
    async done(delivery: Delivery, source: MessageRef): Promise<boolean> {
      const deadLetter = stoppingOrder(delivery) === null ? null : await deadLetterOf(delivery);
      if (deadLetter !== null) await givenUp(delivery, deadLetter, source);
      return deadLetter !== null;
    },
  };
}
