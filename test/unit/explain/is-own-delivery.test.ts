import { expect, test } from "vitest";
import { isOwnDelivery } from "../../../src/explain/is-own-delivery.ts";
import type { DeliveryHistory, LocatedDelivery, StoredEvent } from "../../../src/model/delivery-location.ts";
import { aDelivery, anEvent, UUID } from "../../support/builders.ts";

const CREATED = 1_000_000;
const located = (appCreatedAt: number | null, storedAt: number): LocatedDelivery => ({
  ...{ stream: "retries", sequence: 1, storedAt, dueAt: storedAt, tierS: 1, delivery: aDelivery({ appCreatedAt }) },
});
const attempted = (endedAt: number): DeliveryHistory => ({
  ...{ eventSequence: 1, app: "acme", installationUuid: UUID, location: null, skips: [] },
  runs: [{ replay: null, delivered: false, last: { attempt: 1, endedAt, responseCode: 500, traceparent: "" } }],
});
const stored = (storedAt: number): StoredEvent => ({
  ...{ stream: "EVENTS", sequence: 1, storedAt, event: anEvent(), problem: null, stage: "handled" },
});
const nothing = { located: null, history: null, stored: null };

test.each([
  ["a message of this app", { located: located(CREATED, 0) }, true],
  ["a message of an earlier app, stored later", { located: located(CREATED - 1, CREATED + 1) }, false],
  ["a message without a stamp from before", { located: located(null, CREATED - 1) }, false],
  ["an attempt of this app for an older event", { history: attempted(CREATED + 1), stored: stored(CREATED - 1) }, true],
  ["an attempt from before", { history: attempted(CREATED - 1) }, false],
  ["an event from before without a delivery", { stored: stored(CREATED - 1) }, false],
  ["an event since then", { stored: stored(CREATED) }, true],
  ["nothing", {}, false],
])("%s", (_name, evidence, isOwn) => {
  expect(isOwnDelivery({ ...nothing, ...evidence }, CREATED)).toBe(isOwn);
});

test("an app of an early version, whose creation is unknown, owns what has its slug", () => {
  expect(isOwnDelivery(nothing, null)).toBe(true);
});
