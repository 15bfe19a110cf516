import { expect, test } from "vitest";
import { createLogBuffer } from "../../../src/storage/log-buffer.ts";
import { toLogEntry } from "../../../src/storage/log-entry.ts";
import { aDelivery, anAttempt, anEvent, deliveryIdOf, UUID } from "../../support/builders.ts";

const entryOf = (id: string, outcome: "delivered" | "failed" = "delivered") =>
  toLogEntry(anAttempt({ delivery: aDelivery({ id: deliveryIdOf(id, UUID) }, anEvent({ id })), outcome }));
const note = (value: string) => ({ key: `location:${value}`, field: null, value });

test("a batch has what waits, up to a limit, and counts as buffered until the next one is taken", () => {
  const buffer = createLogBuffer(10_000);
  for (let at = 0; at < 1_001; at++) buffer.add(entryOf(`e-${at}`));
  buffer.addNote("location", note("1"));
  expect(buffer.nextBatch()).toMatchObject({ entries: { length: 1_000 }, notes: [note("1")] });
  expect([buffer.entries(), buffer.notes()]).toEqual([1_001, 1]);
  expect(buffer.nextBatch()).toMatchObject({ entries: { length: 1 }, notes: [] });
  expect([buffer.entries(), buffer.notes()]).toEqual([1, 0]);
  expect([buffer.nextBatch(), buffer.entries()]).toEqual([null, 0]);
});

test("the oldest attempts are dropped beyond the limit, the batch under way included, and of the notes the newest", () => {
  const buffer = createLogBuffer(2);
  const [first, second, third] = [entryOf("e-1"), entryOf("e-2"), entryOf("e-3")];
  for (const entry of [first, second, third]) buffer.add(entry);
  expect([buffer.entries(), buffer.dropped(), buffer.findDelivered(first.dedupKey)]).toEqual([2, 1, undefined]);
  buffer.nextBatch();
  buffer.add(entryOf("e-4"));
  expect([buffer.entries(), buffer.dropped()]).toEqual([2, 2]);
  for (const name of ["a", "b", "c"]) buffer.addNote(name, note(name));
  buffer.addNote("a", note("replaced"));
  expect(buffer.nextBatch()?.notes).toEqual([note("replaced"), note("b")]);
});

test("a delivered run is found while it waits and while its batch is written, and not afterwards", () => {
  const buffer = createLogBuffer(10);
  const [delivered, failed] = [entryOf("e-1"), entryOf("e-2", "failed")];
  buffer.add(delivered);
  buffer.add(failed);
  const found = () => [delivered, failed].map(({ dedupKey }) => buffer.findDelivered(dedupKey));
  expect(found()).toEqual([delivered, undefined]);
  buffer.nextBatch();
  expect(found()).toEqual([delivered, undefined]);
  buffer.nextBatch();
  expect(found()).toEqual([undefined, undefined]);
});
