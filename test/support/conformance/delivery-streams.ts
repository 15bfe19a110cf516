/** The streams of deliveries (delivery/ports.ts): held by JetStream's adapter and by the fake of the unit tests. */
import { describe, expect, test } from "vitest";
import type { DeadLetterWriter, DeliveryStreams, MessageRef } from "../../../src/delivery/ports.ts";
import type { Delivery } from "../../../src/model/delivery.ts";
import { aDelivery, anEvent } from "../builders.ts";

export interface StreamsUnderTest {
  readonly streams: DeliveryStreams & Pick<DeadLetterWriter, "deadLetter">;
  /** The delivery stored at the sequence; null if there is none. */
  read(stream: "retries" | "parked" | "dead-letters", sequence: number): Promise<Delivery | null>;
}

const DELAY = { delayMs: 4_000, notBefore: false };

export function describeDeliveryStreams(name: string, subject: () => StreamsUnderTest, now: () => number): void {
  let sequence = 0;
  const source = (): MessageRef => ({ stream: "EVENTS", sequence: ++sequence });
  const deliveryOf = (id: string): Delivery => aDelivery({}, anEvent({ id }));

  describe(`delivery streams of ${name}`, () => {
    test("store a delivery under growing sequences, each stream its own", async () => {
      const { streams, read } = subject();
      const delivery = deliveryOf("stored");
      const delay = { dueAt: now() + 4_000, ...DELAY };
      const [one, other] = [await streams.retry(delivery, delay, source()), await streams.retry(delivery, delay, source())];
      expect(other.sequence).toBe(one.sequence + 1);
      expect(await read("retries", one.sequence)).toEqual({ ...delivery, stores: 1 });
      const queue = { app: delivery.app, installationUuid: null };
      const parked = [await streams.park(delivery, queue, null, source()), await streams.park(delivery, queue, null, source())];
      expect((parked[1]?.sequence ?? 0) - (parked[0]?.sequence ?? 0)).toBe(1);
      const dead = await streams.deadLetter(delivery, "exhausted", "status 500", source());
      expect(await read("dead-letters", dead.sequence)).toEqual({ ...delivery, stores: 1 });
    });

    test("store a delivery of one source once, and answer with where it is", async () => {
      const { streams } = subject();
      const [delivery, from] = [deliveryOf("once"), source()];
      const queue = { app: delivery.app, installationUuid: null };
      const store = [
        () => streams.retry(delivery, { dueAt: now() + 4_000, ...DELAY }, from),
        () => streams.park(delivery, queue, null, from),
        () => streams.deadLetter(delivery, "exhausted", null, from),
      ];
      for (const again of store) {
        const first = await again();
        expect(first.isDuplicate).toBe(false);
        expect(await again()).toEqual({ ...first, isDuplicate: true });
      }
    });

    test("take an event that was stored at another time, at the same sequence, for another one", async () => {
      const { streams } = subject();
      const [delivery, from] = [deliveryOf("again"), source()];
      const later = { ...delivery, event: { ...delivery.event, publishedAt: delivery.event.publishedAt + 1 } };
      const delay = { dueAt: now() + 4_000, ...DELAY };
      expect((await streams.retry(delivery, delay, from)).isDuplicate).toBe(false);
      expect((await streams.retry(later, delay, from)).isDuplicate).toBe(false);
    });

    test("note when a delivery was parked first, and keep it", async () => {
      const { streams, read } = subject();
      const queue = { app: "acme", installationUuid: null };
      const { sequence: parkedAt } = await streams.park(deliveryOf("parked"), queue, null, source());
      expect((await read("parked", parkedAt))?.firstParkedAt).toBeGreaterThan(0);
      const earlier = { ...deliveryOf("parked-again"), firstParkedAt: 17 };
      const { sequence: again } = await streams.park(earlier, queue, null, source());
      expect((await read("parked", again))?.firstParkedAt).toBe(17);
    });
  });
}
