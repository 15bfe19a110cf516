import { expect, test } from "vitest";
import { createAppPlaces } from "../../../src/subscribers/parked/app-places.ts";

test.each([1, 3])("an app never has more than %i places taken, however they change hands, and another app has its own", async (limit) => {
  const places = createAppPlaces(() => limit);
  let taken = 0;
  let most = 0;
  const work = async (app: string): Promise<void> => {
    await places.enter(app);
    most = Math.max(most, ++taken);
    for (let n = 0; n < 3; n++) await Promise.resolve();
    taken--;
    places.leave(app);
  };
  await Promise.all(Array.from({ length: 20 }, () => work("acme")));
  for (let n = 0; n < 5; n++) await Promise.all([work("acme"), work("acme"), work("acme"), work("acme")]);
  expect(most).toBe(limit);
  await places.enter("other");
});

test("places that an app got meanwhile are given to those that wait", async () => {
  let limit = 1;
  const places = createAppPlaces(() => limit);
  await places.enter("acme");
  let entered = 0;
  for (let n = 0; n < 3; n++) void places.enter("acme").then(() => entered++);
  limit = 3;
  places.leave("acme");
  await Promise.resolve();
  await Promise.resolve();
  expect(entered).toBe(3);
});
