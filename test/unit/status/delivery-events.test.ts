import { expect, test } from "vitest";
import { AppError } from "../../../src/model/app-error.ts";
import { createDeliveryEvents } from "../../../src/status/delivery-events.ts";
import { aDelivery } from "../../support/builders.ts";
import { createManualClock } from "../../support/manual-clock.ts";

/** @param counted whether what is not published can be counted */
function eventsInto(fault: Error, counted: boolean) {
  const suppressed: string[] = [];
  const publish = createDeliveryEvents(
    {
      publish: () => Promise.reject(fault),
      budget: {
        take: async () => true,
        async suppress(app) {
          suppressed.push(app);
          return counted;
        },
      },
      registry: { app: () => undefined, installation: () => undefined },
      clock: createManualClock(),
    },
    { prefix: "t", dashboardUrl: () => null },
  );
  return { suppressed, result: publish({ delivery: aDelivery({ app: "acme" }), reason: "exhausted", error: null }) };
}

const REFUSED = new AppError("STREAM_REFUSED", "the store is full", { retryable: true });

test("an event that the stream refuses is counted among the suppressed, so that its dead letter's source can end", async () => {
  const { suppressed, result } = eventsInto(REFUSED, true);
  await result;
  expect(suppressed).toEqual(["acme"]);
});

test("an event that is neither stored nor counted, or meets another fault, rejects", async () => {
  await expect(eventsInto(REFUSED, false).result).rejects.toBe(REFUSED);
  const fault = new Error("closed");
  const { suppressed, result } = eventsInto(fault, true);
  await expect(result).rejects.toBe(fault);
  expect(suppressed).toEqual([]);
});
