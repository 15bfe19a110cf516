import { expect, test } from "vitest";
import { createDescribeDelivery } from "../../../src/explain/describe-delivery.ts";
import { createNotes } from "../../../src/explain/notes.ts";
import type { DeliverySources } from "../../../src/explain/ports.ts";
import type { LocatedDelivery } from "../../../src/model/delivery-location.ts";
import type { AppStops } from "../../../src/model/key-stop.ts";
import { aDelivery, anApp, anInstallation, UUID } from "../../support/builders.ts";
import { createManualClock } from "../../support/manual-clock.ts";

const located: LocatedDelivery = {
  ...{ stream: "parked" as const, sequence: 5, storedAt: 0, dueAt: null, queue: "q", ofInstallation: false },
  delivery: aDelivery(),
};
const findings = { history: null, located, stored: null, remaining: null, rows: [] };
const ref = { deliveryId: "dlv_1", app: "acme", installationUuid: UUID };

let questions = 0;

function describeWith(stops: ReadonlyMap<string, AppStops | null> | null) {
  questions = 0;
  const sources: Partial<DeliverySources> = {
    ...{
      circuitOf: () => ({ state: "closed" }) as const,
      throttleOf: () => null,
      paceOf: () => null,
      maxInFlightOf: () => 1,
      stopOf: async () => ({ stop: null }),
    },
    async stoppedApps() {
      questions++;
      return stops;
    },
  };
  const index = {
    app: () => anApp({ orderBy: "app", onExhausted: "stop" }),
    installation: () => anInstallation(),
  };
  return createDescribeDelivery(
    { sources: sources as DeliverySources, index: index as never, registry: {} as never, clock: createManualClock() },
    { maxParkedAgeMs: 1, probeIntervalMs: 1, brokenAction: "park" },
  );
}

test("an answer about several deliveries asks once which orders have stopped, and notes it when nobody answers", async () => {
  const [describe, notes] = [describeWith(null), createNotes()];
  for (let n = 0; n < 3; n++) expect((await describe(ref, findings, notes)).stopped_by).toBe(null);
  const unknown = "The replica that owns the queues does not answer: whether a dead letter has stopped an order is not known.";
  expect([questions, notes.list()]).toEqual([1, [unknown]]);
});

test("an answer about an app whose queue the owner has yet to read is noted", async () => {
  const notes = createNotes();
  await describeWith(new Map([["acme", null]]))(ref, findings, notes);
  expect(notes.list()).toHaveLength(1);
});

test("an answer of the owner is not noted", async () => {
  const [describe, notes] = [describeWith(new Map()), createNotes()];
  await describe(ref, findings, notes);
  expect([questions, notes.list()]).toEqual([1, []]);
});
