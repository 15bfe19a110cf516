import { setImmediate as turnEnd } from "node:timers/promises";
import { expect, test } from "vitest";
import type { Tracing } from "../../../src/delivery/tracing-ports.ts";
import { createEventPublisher } from "../../../src/jetstream/event-publisher.ts";
import { createSubjects } from "../../../src/jetstream/subjects.ts";

test("events of one turn of the event loop are published together at its end, in the order of the calls; a refusal is that of its event", async () => {
  const turns: string[][] = [];
  const publish = createEventPublisher(
    async ({ subject, body }) => {
      turns.at(-1)?.push(`${subject} ${String(body)}`);
      if (String(body) === "2") throw new Error("no room");
      return { stream: "T_EVENTS", seq: Number(String(body)), duplicate: String(body) === "3" };
    },
    createSubjects("t"),
    {
      publish: (_caller: unknown, _subject: string, _id: string, work: (trace: object) => Promise<unknown>) =>
        work({ traceparent: null, tracestate: null }),
    } as unknown as Tracing,
  );
  const event = (body: string) => ({
    ...{ resource: "issue", action: "created", id: body, messageId: body, body: Buffer.from(body) },
    ...{ contentType: null, traceparent: null, tracestate: null },
  });
  turns.push([]);
  const together = Promise.allSettled([publish(event("1")), publish(event("2")), publish(event("3"))]);
  await Promise.resolve();
  expect(turns).toEqual([[]]);
  await turnEnd();
  turns.push([]);
  const later = publish(event("4"));
  expect(await together).toMatchObject([
    { value: { stream: "T_EVENTS", sequence: 1, duplicate: false } },
    { reason: { code: "PUBLISH_FAILED" } },
    { value: { sequence: 3, duplicate: true } },
  ]);
  await later;
  expect(turns).toEqual([
    ["t.events.issue.created 1", "t.events.issue.created 2", "t.events.issue.created 3"],
    ["t.events.issue.created 4"],
  ]);
});
