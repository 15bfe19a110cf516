import { expect, test } from "vitest";
import { messagesBefore } from "../../../src/jetstream/queue-span.ts";

test.each<[string, number, number]>([
  ["the first", 100, 0],
  ["one that was before the first that is left", 90, 0],
  ["one in the middle", 150, 5],
  ["the last", 200, 10],
  ["one that was stored since", 240, 10],
])("%s of a queue's messages has about so many before it", (_what, sequence, count) => {
  expect(messagesBefore({ messages: 11, first: 100, last: 200 }, sequence)).toBe(count);
});

test("nothing comes before the only one", () => {
  expect(messagesBefore({ messages: 1, first: 7, last: 7 }, 7)).toBe(0);
});
