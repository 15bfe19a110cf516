/** The attempt log (delivery/ports.ts) as duplicates are found by it: held by the request log in Redis and by a fake. */
import { describe, expect, test } from "vitest";
import type { AttemptLog } from "../../../src/delivery/ports.ts";
import type { Delivery } from "../../../src/model/delivery.ts";
import { aDelivery, anAttempt, anEvent, deliveryIdOf, UUID } from "../builders.ts";

/** @param flush resolves when everything recorded is stored */
export function describeAttemptLog(name: string, subject: () => AttemptLog, flush: () => Promise<void>): void {
  const deliveryOf = (id: string): Delivery => aDelivery({ id: deliveryIdOf(id, UUID) }, anEvent({ id }));
  const found = async (delivery: Delivery): Promise<Array<number | null | undefined>> => {
    const before = (await subject().findDelivered(delivery))?.eventSequence;
    await flush();
    return [before, (await subject().findDelivered(delivery))?.eventSequence];
  };

  describe(`attempt log of ${name}`, () => {
    test("knows nothing of a delivery without attempts, or whose attempts failed", async () => {
      const delivery = deliveryOf("failed");
      expect(await subject().findDelivered(delivery)).toBeNull();
      subject().record(anAttempt({ delivery, outcome: "failed" }));
      expect(await found(delivery)).toEqual([undefined, undefined]);
    });

    test("finds a delivered run at once and after it was stored, for any message of the event", async () => {
      const delivery = deliveryOf("delivered");
      subject().record(anAttempt({ delivery }));
      expect(await found({ ...delivery, eventSequence: 99 })).toEqual([7, 7]);
    });

    test("keeps a run delivered, whatever a later attempt says", async () => {
      const delivery = deliveryOf("late-failure");
      subject().record(anAttempt({ delivery }));
      subject().record(anAttempt({ delivery, outcome: "failed" }));
      expect(await found(delivery)).toEqual([7, 7]);
      subject().record(anAttempt({ delivery, outcome: "failed" }));
      expect(await found(delivery)).toEqual([7, 7]);
    });

    test("keeps the runs of a delivery apart", async () => {
      const delivery = deliveryOf("resent");
      subject().record(anAttempt({ delivery }));
      expect(await found({ ...delivery, replay: "r-1" })).toEqual([undefined, undefined]);
    });
  });
}
