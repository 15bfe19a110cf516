import { expect, test } from "vitest";
import type { OrderBy } from "../../../src/model/app.ts";
import { type OldestParked, waitingOf } from "../../../src/overview/waiting-of-apps.ts";
import { anApp } from "../../support/builders.ts";

const NOW = 1_000_000;
const oldest = (members: Partial<OldestParked> = {}): OldestParked => ({
  ...{ storedAt: NOW - 60_000, delivery: { firstParkedAt: null }, dueAt: null, isStopped: false },
  ...members,
});

const waits = async (found: OldestParked | null, { isHeldBack = false, orderBy = "none" as OrderBy, parked = 5 } = {}) => {
  const app = anApp({ slug: "acme", orderBy });
  const waiting = await waitingOf([app], new Map([["acme", parked]]), NOW, {
    ...{ isHeldBack: () => isHeldBack, paceOf: () => null, maxInFlightOf: () => 32, oldestInAppQueue: async () => found },
    onUnknown() {},
  });
  return waiting.get("acme");
};

test("an app waits since its oldest delivery was parked first, when that is over 10 s ago", async () => {
  expect(await waits(oldest())).toEqual({ since: NOW - 60_000, because: "max_in_flight", perS: null, atOnce: 32 });
  expect(await waits(oldest({ delivery: { firstParkedAt: NOW - 90_000 } }))).toMatchObject({ since: NOW - 90_000 });
  expect(await waits(oldest(), { orderBy: "app" })).toMatchObject({ because: "ordered" });
  expect(await waits(oldest({ storedAt: NOW - 9_999 }))).toBeUndefined();
});

test("an app does not wait whose queue is empty, held back, at a retry or stopped", async () => {
  expect(await waits(null)).toBeUndefined();
  expect(await waits(oldest(), { parked: 0 })).toBeUndefined();
  expect(await waits(oldest(), { isHeldBack: true })).toBeUndefined();
  expect(await waits(oldest({ dueAt: NOW + 1 }))).toBeUndefined();
  expect(await waits(oldest({ isStopped: true }))).toBeUndefined();
});
