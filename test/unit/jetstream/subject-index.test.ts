import type { NatsConnection } from "nats";
import { expect, test } from "vitest";
import { mayLoseMessages } from "../../../src/jetstream/subject-index.ts";

test.each([
  ["2.9.10", true],
  ["2.10.24", true],
  ["2.10.25-RC.1", false],
  ["2.10.25", false],
  ["2.11.0", false],
  ["3.0.0", false],
  [undefined, true],
])("a server of version %s may lose messages from its index: %s", (version, expected) => {
  expect(mayLoseMessages({ info: { version } } as NatsConnection)).toBe(expected);
});
