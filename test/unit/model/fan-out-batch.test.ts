import { expect, test } from "vitest";
import { decodeBatch, encodeBatch } from "../../../src/model/fan-out-batch.ts";
import { anEvent, UUID } from "../../support/builders.ts";

const batch = { event: anEvent(), eventSequence: 7, targets: [{ app: "acme", uuid: UUID }] };

test("a fan-out batch comes back whole", () => {
  expect(decodeBatch(encodeBatch(batch))).toEqual(batch);
});

test.each([
  ["1", "batch: found a number, wanted an object"],
  ["{}", "targets: found nothing, wanted an object"],
  ['{"targets":null}', "targets: found null, wanted an object"],
  ['{"targets":{"acme":"all"}}', "targets.acme: found a string, wanted an array"],
  ['{"targets":{"acme":[1]}}', "targets.acme[0]: found a number, wanted a string"],
  ['{"targets":{}}', "event: found nothing, wanted an object"],
])("%s is none, and it says what was found", (text, problem) => {
  expect(() => decodeBatch(text)).toThrow(problem);
});
