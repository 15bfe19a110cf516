import { expect, test } from "vitest";
import { AppError } from "../../../src/model/app-error.ts";
import { createDeliveryEvents } from "../../../src/status/delivery-events.ts";
import { aDelivery } from "../../support/builders.ts";
import { createManualClock } from "../../support/manual-clock.ts";

/** @param answers to each publish in turn, null: stored; and whether each event that is not published can be counted */
function eventsInto(answers: ReadonlyArray<Error | null>, counted: readonly boolean[] = []) {
  const suppressed: string[] = [];
  const published: string[] = [];
  const publish = createDeliveryEvents(
    {
      async publish({ id }) {
        const fault = answers[published.length];
        published.push(id);
        if (fault != null) throw fault;
      },
      budget: {
        take: async () => true,
        async suppress(app) {
          suppressed.push(app);
          return counted[suppressed.length - 1] ?? false;
        },
      },
      registry: { app: () => undefined, installation: () => undefined },
      clock: createManualClock(),
    },
    { prefix: "t", dashboardUrl: () => null },
  );
  return { suppressed, published, result: publish({ delivery: aDelivery({ app: "acme" }), reason: "exhausted", error: null }) };
}

const FULL = new AppError("STORE_FULL", "the store is full", { retryable: true });

test("an event that there is no room for is counted among the suppressed, so that its dead letter's source can end", async () => {
  const { suppressed, published, result } = eventsInto([FULL], [true]);
  await result;
  expect([suppressed, published.length]).toEqual([["acme"], 1]);
});

test("one that can't be counted either is tried on: its dead letter is stored, and its delivery is not to be attempted again", async () => {
  const { suppressed, published, result } = eventsInto([FULL, FULL, null]);
  await result;
  expect([suppressed.length, published.length, new Set(published).size]).toEqual([2, 3, 1]);
});

test.each([new AppError("STREAM_REFUSED", "not stored before the stop", { retryable: true }), new Error("closed")])(
  "an event that is not stored for another reason rejects and is not counted: %s",
  async (fault) => {
    const { suppressed, result } = eventsInto([fault], [true]);
    await expect(result).rejects.toBe(fault);
    expect(suppressed).toEqual([]);
  },
);
