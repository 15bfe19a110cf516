import { expect, test } from "vitest";
import { type Component, createComponents } from "../../../src/app/components.ts";
import { createManualClock } from "../../support/manual-clock.ts";
import { silentLogger } from "../../support/silent-logger.ts";

function watched() {
  const done: string[] = [];
  const clock = createManualClock();
  const component = (name: string, members: Partial<Component> = {}): Component => ({
    name,
    start: () => void done.push(`start ${name}`),
    stop: () => void done.push(`stop ${name}`),
    ...members,
  });
  return { done, clock, component, components: createComponents(clock, silentLogger) };
}

test("components start in order and stop in reverse, over several calls", async () => {
  const { done, clock, component, components } = watched();
  await components.startAll([component("a"), { name: "b", stop: () => done.push("stop b") }]);
  await components.startAll([component("c")]);
  expect(await components.stopAll(clock.now())).toEqual([]);
  expect(done).toEqual(["start a", "start c", "stop c", "stop b", "stop a"]);
});

test("a start that fails ends the call; what was begun is stopped, also the one that failed", async () => {
  const { done, clock, component, components } = watched();
  const failing = component("b", { start: () => Promise.reject(new Error("no")) });
  await expect(components.startAll([component("a"), failing, component("c")])).rejects.toThrow("no");
  await components.stopAll(clock.now());
  expect(done).toEqual(["start a", "stop b", "stop a"]);
});

test("each is stopped once", async () => {
  const { done, clock, component, components } = watched();
  await components.startAll([component("a")]);
  await Promise.all([components.stopAll(clock.now()), components.stopAll(clock.now())]);
  await components.stopAll(clock.now());
  expect(done).toEqual(["start a", "stop a"]);
});

test("one that fails or hangs is named, and keeps no other from stopping", async () => {
  const { done, clock, component, components } = watched();
  await components.startAll([
    component("first"),
    component("hangs", { stop: () => new Promise(() => {}) }),
    component("throws", {
      stop: () => {
        throw new Error("no");
      },
    }),
    component("hangs, too", { stop: () => new Promise(() => {}) }),
  ]);
  const start = clock.now();
  let failed: readonly string[] | undefined;
  void components.stopAll(start + 10_000).then((names) => {
    failed = names;
  });
  await clock.advance(11_999);
  expect(done).not.toContain("stop first");
  // The deadline is one for all: the second one that hangs has a moment only.
  await clock.advance(1);
  await clock.advance(2_000);
  expect(failed).toEqual(["hangs, too", "throws", "hangs"]);
  expect(done).toContain("stop first");
});
