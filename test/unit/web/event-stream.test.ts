import fc from "fast-check";
import { expect, test } from "vitest";
import { createEventReader, type ServerSentEvent } from "../../../src/web/event-stream.ts";

const TEXT = ':\n\nevent: overview\ndata: {"items":[]}\n\n:\n\nevent: status\ndata: {"id":"ü 🚀"}\n\ndata: one\ndata: two\n\n';
const EVENTS = [
  { event: "overview", data: '{"items":[]}' },
  { event: "status", data: '{"id":"ü 🚀"}' },
  { event: "message", data: "one\ntwo" },
];

test("events are read however the network cuts them, and comments are none", () => {
  fc.assert(
    fc.property(fc.array(fc.nat(TEXT.length), { maxLength: 20 }), (cuts) => {
      const found: ServerSentEvent[] = [];
      const read = createEventReader((event) => found.push(event));
      const at = [0, ...cuts.sort((a, b) => a - b), TEXT.length];
      for (let index = 1; index < at.length; index++) read(TEXT.slice(at[index - 1], at[index]));
      expect(found).toEqual(EVENTS);
    }),
  );
});

test("an event that has not ended is none yet", () => {
  const found: ServerSentEvent[] = [];
  createEventReader((event) => found.push(event))("event: overview\ndata: {}\n");
  expect(found).toEqual([]);
});
