import { expect, test } from "vitest";
import { createParkedShare } from "../../../src/subscribers/parked/parked-share.ts";
import { aDelivery } from "../../support/builders.ts";

const use = (lastSequence: number) => ({ maxBytes: -1, maxMessages: 10, bytes: 0, messages: lastSequence, lastSequence });

test("an app may park until it has used up its share, whether others or this replica parked it", () => {
  const share = createParkedShare(50);
  share.update(use(3), new Map([["acme", 3]]));
  share.parked(aDelivery({ app: "acme" }), 4);
  expect(share.isUsedUp("acme")).toBe(false);
  share.parked(aDelivery({ app: "acme" }), 5);
  expect([share.isUsedUp("acme"), share.isUsedUp("other")]).toEqual([true, false]);
});

test("a message that a look has counted before its store is confirmed counts once", () => {
  const share = createParkedShare(50);
  share.update(use(4), new Map([["acme", 4]]));
  for (const sequence of [2, 3, 4]) share.parked(aDelivery({ app: "acme" }), sequence);
  expect(share.isUsedUp("acme")).toBe(false);
});

test("a message that was parked after a look is not lost by it", () => {
  const share = createParkedShare(50);
  for (const sequence of [5, 6]) share.parked(aDelivery({ app: "acme" }), sequence);
  share.update(use(4), new Map([["acme", 3]]));
  expect(share.isUsedUp("acme")).toBe(true);
  share.update(use(6), new Map([["acme", 4]]));
  expect(share.isUsedUp("acme")).toBe(false);
});
