import type { Readable } from "node:stream";
import { describe, expect, test } from "vitest";
import type { StatusEvent } from "../../../src/model/status-event.ts";
import { createLiveOverview } from "../../../src/overview/live-overview.ts";
import type { Overview } from "../../../src/overview/read-overview.ts";
import { createManualClock } from "../../support/manual-clock.ts";

interface Told {
  readonly items?: Array<{ slug: string; parked: number }>;
  readonly removed?: string[];
  readonly unreadable?: number;
  readonly id?: string;
}

function setUp() {
  const clock = createManualClock();
  const apps = new Map<string, number>([
    ["acme", 1],
    ["other", 1],
  ]);
  const state = {
    ...{ reads: 0, unreadable: 0, followers: 0 },
    say: (_: StatusEvent): void => {},
    confirm: async (): Promise<void> => {},
    reconnect: (): void => {},
  };
  const live = createLiveOverview({
    countOwnDeadLetters: async () => 1,
    appCreatedAt: () => null,
    async readOverview() {
      state.reads++;
      const json = [...apps].map(([slug, parked]) => [slug, JSON.stringify({ slug, parked })] as const);
      const head = { at: String(state.reads), hours_from: "", unreadable: state.unreadable, problems: [] };
      return { head, apps: new Map(json), subjectCounts: null, recent: null } satisfies Overview;
    },
    statusHistory: {
      follow(listener) {
        state.followers++;
        state.say = listener;
        return { confirm: () => state.confirm(), end: () => void state.followers-- };
      },
    },
    onReconnect(listener) {
      state.reconnect = listener;
      return () => {};
    },
    clock,
  });
  return { clock, apps, state, live };
}

/** What has come since the last call: events, and how many comments. */
function take(stream: Readable): { events: Array<[string, Told]>; comments: number } {
  const text = ((stream.read() as Buffer | null) ?? "").toString();
  const blocks = text.split("\n\n").filter((block) => block !== "");
  return {
    events: blocks
      .filter((block) => block !== ":")
      .map((block) => [/^event: (.*)/.exec(block)?.[1] ?? "", JSON.parse(block.slice(block.indexOf("data: ") + 6)) as Told]),
    comments: blocks.filter((block) => block === ":").length,
  };
}

const ended = (stream: Readable): Promise<void> => new Promise((resolve) => void stream.resume().once("close", () => resolve()));

describe("who looks on", () => {
  test("gets all apps first, and then those that change, are new or are gone", async () => {
    const { clock, apps, live } = setUp();
    const stream = live.watch(null);
    await clock.advance(0);
    const first = take(stream).events;
    expect(first.map(([event, { items }]) => [event, items?.map(({ slug }) => slug)])).toEqual([["overview", ["acme", "other"]]]);
    await clock.advance(10_000);
    expect(take(stream).events).toEqual([]);
    apps.set("acme", 2);
    apps.set("new", 1);
    apps.delete("other");
    await clock.advance(2_000);
    const [changed, ...more] = take(stream).events;
    expect(more).toEqual([]);
    expect(changed?.[1]).toMatchObject({
      items: [
        { slug: "acme", parked: 2 },
        { slug: "new", parked: 1 },
      ],
      removed: ["other"],
    });
    stream.destroy();
  });

  test("at one app hears of that app alone", async () => {
    const { clock, apps, state, live } = setUp();
    const stream = live.watch("acme");
    await clock.advance(0);
    const [[, first] = ["", {}]] = take(stream).events;
    expect([first.items?.map(({ slug }) => slug), "unreadable" in first]).toEqual([["acme"], false]);
    apps.set("other", 9);
    state.say({ id: "1", data: { app: "other" } } as StatusEvent);
    await clock.advance(2_000);
    expect(take(stream).events).toEqual([]);
    state.say({ id: "2", data: { app: "acme" } } as StatusEvent);
    expect(take(stream).events).toEqual([["status", expect.objectContaining({ id: "2" })]]);
    stream.destroy();
  });

  test("later gets all apps too, while the others get changes only", async () => {
    const { clock, apps, live } = setUp();
    const early = live.watch(null);
    await clock.advance(0);
    take(early);
    apps.set("acme", 2);
    const late = live.watch(null);
    await clock.advance(0);
    expect(take(late).events.map(([, { items }]) => items?.length)).toEqual([2]);
    expect(take(early).events.map(([, { items }]) => items?.length)).toEqual([1]);
    early.destroy();
    late.destroy();
  });
});

describe("status events that may be missing", () => {
  /** How many apps each overview has that came since the last call; with the removed ones it has only what has changed. */
  const overviews = (stream: Readable) => take(stream).events.map(([, { items, removed }]) => [items?.length, removed]);
  const all = [2, undefined];

  test("are those before all apps, which come once the subscription is confirmed", async () => {
    const { clock, state, live } = setUp();
    const { promise, resolve } = Promise.withResolvers<void>();
    state.confirm = () => promise;
    const stream = live.watch(null);
    await clock.advance(1_000);
    expect(overviews(stream)).toEqual([]);
    resolve();
    await clock.advance(0);
    expect(overviews(stream)).toEqual([all]);
    await clock.advance(10_000);
    expect(overviews(stream)).toEqual([]);
    stream.destroy();
  });

  test("do not hold all apps back for long: they come again when the subscription is confirmed", async () => {
    const { clock, state, live } = setUp();
    const { promise, resolve } = Promise.withResolvers<void>();
    state.confirm = () => promise;
    const stream = live.watch(null);
    await clock.advance(2_000);
    expect(overviews(stream)).toEqual([all]);
    resolve();
    await clock.advance(0);
    expect(overviews(stream)).toEqual([all]);
    stream.destroy();
  });

  test("are announced to everybody after a reconnect, by all apps", async () => {
    const { clock, state, live } = setUp();
    state.reconnect();
    await clock.advance(0);
    expect(state.reads).toBe(0);
    state.confirm = () => Promise.reject(new Error("disconnected"));
    const streams = [live.watch(null), live.watch("acme")] as const;
    await clock.advance(1_000);
    expect(streams.map(overviews)).toEqual([[all], [[1, undefined]]]);
    state.confirm = async () => {};
    state.reconnect();
    await clock.advance(0);
    expect(streams.map(overviews)).toEqual([[all], [[1, undefined]]]);
    for (const stream of streams) stream.destroy();
    expect(state.followers).toBe(0);
  });
});

test("a stream that has ended and is not read yet leaves no second subscription", async () => {
  const { clock, state, live } = setUp();
  const old = live.watch(null);
  await clock.advance(0);
  live.stop();
  const young = live.watch(null);
  await ended(old);
  await clock.advance(0);
  expect([take(young).events.length, state.followers]).toEqual([1, 1]);
  young.destroy();
  expect(state.followers).toBe(0);
});

test("nothing is read while nobody looks on", async () => {
  const { clock, state, live } = setUp();
  expect([state.reads, state.followers]).toEqual([0, 0]);
  const streams = [live.watch(null), live.watch("acme")];
  await clock.advance(20_000);
  expect(state.reads).toBeGreaterThan(5);
  expect(state.followers).toBe(1);
  for (const stream of streams) stream.destroy();
  const reads = state.reads;
  await clock.advance(60_000);
  expect([state.reads, state.followers]).toEqual([reads, 0]);
});

test("comments keep the connection open when nothing happens", async () => {
  const { clock, live } = setUp();
  const stream = live.watch(null);
  await clock.advance(0);
  take(stream);
  await clock.advance(48_000);
  expect(take(stream)).toEqual({ events: [], comments: 3 });
  stream.destroy();
});

test("who does not take what is sent is let go", async () => {
  const { clock, state, live } = setUp();
  const stream = live.watch(null);
  await clock.advance(0);
  const large = { id: "x".repeat(1024 * 1024), data: { app: "acme" } } as StatusEvent;
  for (let n = 0; n < 5; n++) state.say(large);
  expect(stream.destroyed).toBe(true);
  expect(state.followers).toBe(0);
});

test("a stream ends after ten minutes, and all of them with the process", async () => {
  const { clock, live } = setUp();
  const old = live.watch(null);
  await clock.advance(9 * 60_000);
  const young = live.watch(null);
  expect(old.readableEnded).toBe(false);
  await clock.advance(61_000);
  await ended(old);
  expect(young.destroyed).toBe(false);
  live.stop();
  await ended(young);
});
