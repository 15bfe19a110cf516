import { beforeEach, expect, test } from "vitest";
import { toRfc3339 } from "../../../src/model/clock.ts";
import type { OutboxMembers } from "../../../src/model/stored-records.ts";
import { createOutbox, type Outbox, type PendingEvent } from "../../../src/status/outbox.ts";
import { createManualClock, type ManualClock } from "../../support/manual-clock.ts";
import { createRecordStore, type RecordStore } from "../../support/record-store.ts";
import { silentLogger } from "../../support/silent-logger.ts";

interface TestEvent extends PendingEvent {
  readonly type: string;
}

interface TestRecord extends OutboxMembers<TestEvent> {
  readonly status?: string;
  readonly state?: string;
  readonly app?: string;
  readonly shiny?: string;
  readonly probed?: boolean;
}

let clock: ManualClock;
let records: RecordStore<TestRecord>;
let published: TestEvent[];
let publishFails: boolean;

const stream = {
  async publish(event: TestEvent) {
    if (publishFails) throw new Error("the stream is away");
    published.push(event);
  },
  async lastId() {
    return published.at(-1)?.id ?? null;
  },
};

function replica(): Outbox<TestRecord, TestEvent> {
  return createOutbox<TestRecord, TestEvent>({ records, stream, clock, logger: silentLogger });
}

const toBroken = (current: TestRecord | null) =>
  current?.status === "active"
    ? { members: { status: "broken" }, event: (id: string): TestEvent => ({ id, time: toRfc3339(clock.now()), type: "broken" }) }
    : null;

beforeEach(() => {
  clock = createManualClock();
  records = createRecordStore();
  published = [];
  publishFails = false;
  records.put("installation.u1", { status: "active", app: "acme", shiny: "kept" });
});

test("a transition writes the status and a counter, publishes its event and leaves the record clear", async () => {
  const { changed, record } = await replica().change("installation.u1", toBroken);
  expect([changed, record?.status]).toEqual([true, "broken"]);
  expect(published).toEqual([{ id: "u1:1", time: toRfc3339(clock.now()), type: "broken" }]);
  expect(records.json("installation.u1")).toEqual({ status: "broken", app: "acme", shiny: "kept", n: 1 });
});

test("a record that can't be read is replaced, with numbers that it can't have used", async () => {
  records.damage("circuit.acme");
  const { changed } = await replica().change("circuit.acme", (current) => ({
    members: { state: current === null ? "open" : "closed" },
    event: (id) => ({ id, time: toRfc3339(clock.now()), type: "opened" }),
  }));
  expect(changed).toBe(true);
  // The damaged value is the bucket's second revision.
  expect(records.json("circuit.acme")).toEqual({ state: "open", n: 3 });
  expect(published.map(({ id }) => id)).toEqual(["acme:3"]);
});

test("a record that was removed and comes back does not use its numbers again", async () => {
  await replica().change("circuit.acme", () => ({
    members: { state: "open" },
    event: (id) => ({ id, time: toRfc3339(clock.now()), type: "opened" }),
  }));
  records.remove("circuit.acme");
  await replica().change("circuit.acme", () => ({
    members: { state: "open" },
    event: (id) => ({ id, time: toRfc3339(clock.now()), type: "opened" }),
  }));
  const numbers = published.map(({ id }) => Number(id.split(":")[1]));
  expect(numbers).toHaveLength(2);
  expect(numbers[1]).toBeGreaterThan((numbers[0] ?? 0) + 1);
});

test("of a thousand concurrent failures on two replicas one makes the transition, and one event goes out", async () => {
  const [first, second] = [replica(), replica()];
  const results = await Promise.all(
    Array.from({ length: 1_000 }, (_, at) => (at % 2 === 0 ? first : second).change("installation.u1", toBroken)),
  );
  expect(results.filter(({ changed }) => changed)).toHaveLength(1);
  expect(published).toHaveLength(1);
  expect(records.json("installation.u1")["n"]).toBe(1);
});

test("a decision of null changes nothing", async () => {
  await replica().change("installation.u1", () => null);
  expect([records.json("installation.u1"), published]).toEqual([{ status: "active", app: "acme", shiny: "kept" }, []]);
});

test("a step without an event keeps the counter", async () => {
  await replica().change("installation.u1", () => ({ members: { probed: true }, event: null }));
  expect(records.json("installation.u1")).toEqual({ status: "active", app: "acme", shiny: "kept", probed: true });
});

test("a record that is not there yet is made", async () => {
  await replica().change("circuit.acme", (current) => (current === null ? { members: { state: "open" }, event: null } : null));
  expect(records.json("circuit.acme")).toEqual({ state: "open" });
});

test("a process that dies before it publishes leaves the event behind, and another one publishes it after 5 s", async () => {
  publishFails = true;
  await replica().change("installation.u1", toBroken);
  expect([published, records.json("installation.u1")["status"]]).toEqual([[], "broken"]);
  publishFails = false;
  await replica().publishPending("installation.u1");
  expect(published).toEqual([]);
  await clock.advance(5_000);
  await replica().publishPending("installation.u1");
  expect(published.map(({ id }) => id)).toEqual(["u1:1"]);
  expect(records.json("installation.u1")).not.toHaveProperty("pending_event");
});

test("a process that dies after it published and before it cleared the field: nothing is published twice", async () => {
  const dying = replica();
  const publish = stream.publish.bind(stream);
  stream.publish = async (event) => {
    await publish(event);
    records.failUpdates(1);
  };
  await dying.change("installation.u1", toBroken);
  stream.publish = publish;
  expect(records.json("installation.u1")["pending_event"]).toMatchObject({ id: "u1:1" });
  await clock.advance(5_000);
  await Promise.all([replica().publishPending("installation.u1"), replica().publishPending("installation.u1")]);
  expect(published.map(({ id }) => id)).toEqual(["u1:1"]);
  expect(records.json("installation.u1")).not.toHaveProperty("pending_event");
});

test("the next transition first publishes the pending event, so that events leave in order", async () => {
  publishFails = true;
  await replica().change("installation.u1", toBroken);
  publishFails = false;
  await clock.advance(6_000);
  await replica().change("installation.u1", () => ({
    members: { status: "active" },
    event: (id) => ({ id, time: toRfc3339(clock.now()), type: "recovered" }),
  }));
  expect(published.map(({ id, type }) => `${id} ${type}`)).toEqual(["u1:1 broken", "u1:2 recovered"]);
});

test("a step without an event does not wait for one that can't be published", async () => {
  publishFails = true;
  await replica().change("installation.u1", toBroken);
  await replica().change("installation.u1", () => ({ members: { probed: true }, event: null }));
  expect(records.json("installation.u1")).toMatchObject({ probed: true, pending_event: { id: "u1:1" } });
});
