import { expect, test } from "vitest";
import { createParkedShare, type ParkedShare } from "../../../src/subscribers/parked/parked-share.ts";
import { aDelivery } from "../../support/builders.ts";

const use = (lastSequence: number) => ({ maxBytes: -1, maxMessages: 10, bytes: 0, messages: lastSequence, lastSequence });

function isUsedUp(share: ParkedShare, app: string): boolean {
  const giveBack = share.take(aDelivery({ app }));
  giveBack?.();
  return giveBack === null;
}

test("an app may park until it has used up its share, whether others or this replica parked it", () => {
  const share = createParkedShare(50);
  share.update(use(3), new Map([["acme", 3]]));
  share.parked(aDelivery({ app: "acme" }), 4);
  expect(isUsedUp(share, "acme")).toBe(false);
  share.parked(aDelivery({ app: "acme" }), 5);
  expect([isUsedUp(share, "acme"), isUsedUp(share, "other")]).toEqual([true, false]);
});

test("a message that a look has counted before its store is confirmed counts once", () => {
  const share = createParkedShare(50);
  share.update(use(4), new Map([["acme", 4]]));
  for (const sequence of [2, 3, 4]) share.parked(aDelivery({ app: "acme" }), sequence);
  expect(isUsedUp(share, "acme")).toBe(false);
});

test("a message that was parked after a look is not lost by it", () => {
  const share = createParkedShare(50);
  for (const sequence of [5, 6]) share.parked(aDelivery({ app: "acme" }), sequence);
  share.update(use(4), new Map([["acme", 3]]));
  expect(isUsedUp(share, "acme")).toBe(true);
  share.update(use(6), new Map([["acme", 4]]));
  expect(isUsedUp(share, "acme")).toBe(false);
});

test("deliveries that are being parked count before their stores are confirmed", () => {
  const share = createParkedShare(50);
  share.update(use(0), new Map());
  const taken = Array.from({ length: 8 }, () => share.take(aDelivery({ app: "acme" })));
  expect(taken.map((giveBack) => giveBack !== null)).toEqual([true, true, true, true, true, false, false, false]);
  taken[0]?.();
  expect(isUsedUp(share, "acme")).toBe(false);
});

test("an app's first deliveries are judged by their own size", () => {
  const share = createParkedShare(50);
  share.update({ maxBytes: 1_000, maxMessages: -1, bytes: 0, messages: 0, lastSequence: 0 }, new Map());
  const delivery = aDelivery({ app: "acme" });
  expect([share.take(delivery), share.take(delivery)]).toEqual([expect.any(Function), null]);
});
