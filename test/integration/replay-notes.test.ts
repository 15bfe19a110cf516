/** How far a replay is, told by another replica than its own, on a real Redis. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { systemClock } from "../../src/model/clock.ts";
import type { Replay } from "../../src/model/replay.ts";
import { connectRedis, type RedisClient } from "../../src/storage/redis.ts";
import { createReplayNotes } from "../../src/storage/replay-notes.ts";
import { createManualClock } from "../support/manual-clock.ts";
import { type Server, startRedisServer } from "../support/servers.ts";
import { silentLogger } from "../support/silent-logger.ts";

let server: Server;
let redis: RedisClient;

beforeAll(async () => {
  server = await startRedisServer();
  redis = await connectRedis({ url: server.url, startupTimeoutMs: 10_000 }, systemClock, silentLogger);
});
afterAll(async () => {
  redis.disconnect();
  await server.stop();
});

const aReplay = (changes: Partial<Replay> = {}): Replay => ({
  ...{ id: "0f3c1d2e", app: "acme", state: "running", matched: 7, replayed: 5, skipped: 1, error: null },
  ...changes,
});

test("a replay is as it was noted last, for a day", async () => {
  const notes = createReplayNotes(redis, createManualClock());
  expect(await notes.find("0f3c1d2e")).toBeNull();
  await notes.note(aReplay());
  expect(await notes.find("0f3c1d2e")).toEqual(aReplay());
  await notes.note(aReplay({ state: "done", replayed: 6 }));
  expect(await notes.find("0f3c1d2e")).toEqual(aReplay({ state: "done", replayed: 6 }));
  expect(await redis.ttl("replay:0f3c1d2e")).toBe(86_400);
});

test("one whose replica has gone does not run for ever", async () => {
  const clock = createManualClock();
  const notes = createReplayNotes(redis, clock);
  await notes.note(aReplay());
  await clock.advance(29_000);
  expect(await notes.find("0f3c1d2e")).toEqual(aReplay());
  await clock.advance(1_000);
  expect(await notes.find("0f3c1d2e")).toMatchObject({
    state: "failed",
    replayed: 5,
    error: expect.stringContaining("its replica stopped"),
  });
  await notes.note(aReplay({ state: "done" }));
  await clock.advance(3_600_000);
  expect(await notes.find("0f3c1d2e")).toEqual(aReplay({ state: "done" }));
});

test("without Redis it is not known, and a note is left out", async () => {
  const away = await startRedisServer();
  const client = await connectRedis({ url: away.url, startupTimeoutMs: 10_000 }, systemClock, silentLogger);
  await away.stop();
  const notes = createReplayNotes(client, systemClock);
  await notes.note(aReplay());
  await expect(notes.find("0f3c1d2e")).rejects.toMatchObject({ code: "REDIS_UNREACHABLE", message: expect.stringContaining("0f3c1d2e") });
  client.disconnect();
});
