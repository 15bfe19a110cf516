import { createHash } from "node:crypto";
import fc from "fast-check";
import { expect, test } from "vitest";
import { deliveryId, eventKey, eventMessageId } from "../../../src/model/event-key.ts";
import { readEvent } from "../../../src/model/event-reader.ts";
import { anEvent, UUID } from "../../support/builders.ts";

const sha256 = (text: string): string => createHash("sha256").update(text, "utf8").digest("hex").slice(0, 32);

test("a delivery's id is dlv_ and 32 hex digits of SHA-256 over kind, type or source, id and installation", () => {
  expect(deliveryId(anEvent({ id: "evt-1" }), UUID)).toBe(`dlv_${sha256(`ev\nissue.created\nevt-1\n${UUID}`)}`);
  expect(deliveryId(anEvent({ id: "évt ☃", source: "/shop" }), UUID)).toBe(`dlv_${sha256(`ce\n/shop\névt ☃\n${UUID}`)}`);
});

test("an event's message id is of the same key", () => {
  expect(eventMessageId(anEvent({ id: "evt-1" }))).toBe(`evt_${sha256("ev\nissue.created\nevt-1")}`);
  expect(eventMessageId(anEvent({ id: "evt-1", source: "/shop" }))).toBe(`evt_${sha256("ce\n/shop\nevt-1")}`);
});

test("plain events of different types, and CloudEvents of different sources, are different events with the same id", () => {
  const events = [
    anEvent(),
    anEvent({ action: "resolved" }),
    anEvent({ source: "/shop" }),
    anEvent({ source: "/billing" }),
    anEvent({ source: "issue.created" }),
  ];
  expect(new Set(events.map(eventKey)).size).toBe(events.length);
  expect(new Set(events.map((event) => deliveryId(event, UUID))).size).toBe(events.length);
  expect(eventKey(anEvent({ source: "/shop", action: "resolved" }))).toBe(eventKey(anEvent({ source: "/shop" })));
});

test("no two identities that can be read have one key", () => {
  const text = fc.string({ unit: fc.constantFrom("a", "b", "\n", "\r", "\0", "e", "v", "c", ".", "\ud83d", "\ude00") });
  const identity = fc.record({ id: text, source: fc.option(text), action: fc.constantFrom("a", "b") });
  const read = ({ id, source, action }: { id: string; source: string | null; action: string }) => {
    const attributes = source === null ? {} : { specversion: "1.0", source, organizationid: "1" };
    const body = Buffer.from(JSON.stringify({ id, organization_id: "1", data: {}, ...attributes }));
    const raw = { resource: "r", action, body, header: () => undefined, fallbackId: "S:1", storedAt: 0 };
    const result = readEvent(raw);
    return result.ok ? result.event : null;
  };
  fc.assert(
    fc.property(identity, identity, (one, two) => {
      const [first, second] = [read(one), read(two)];
      if (first === null || second === null) return;
      expect(first).toMatchObject({ id: one.id, source: one.source });
      const isSame = one.id === two.id && one.source === two.source && (one.source !== null || one.action === two.action);
      expect(eventKey(first) === eventKey(second)).toBe(isSame);
    }),
    { numRuns: 500 },
  );
});
