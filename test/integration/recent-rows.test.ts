import { beforeEach, expect, test } from "vitest";
import { keys } from "../../src/storage/keys.ts";
import { logRow } from "../../src/storage/log-row.ts";
import { createReadRecentRows } from "../../src/storage/recent-rows.ts";
import { anAttempt } from "../support/builders.ts";
import { redisOfFile } from "../support/redis-of-file.ts";

const { redis, look } = await redisOfFile();

const NOON = Date.UTC(2026, 0, 5, 12);
const slugOf = (number: number): string => `app-${String(number).padStart(3, "0")}`;

beforeEach(() => look.flushall());

/** One row for each app, the first app's the newest, a second apart. */
async function write(apps: number): Promise<void> {
  const pipeline = look.pipeline();
  for (let number = 0; number < apps; number++) {
    const at = NOON - number * 1_000;
    pipeline.zadd(`posthorn:${keys.eventTypes(slugOf(number))}`, at, "issue.created");
    pipeline.lpush(`posthorn:${keys.requests(slugOf(number), "issue.created")}`, logRow(anAttempt({ startedAt: at - 5, endedAt: at })));
  }
  await pipeline.exec();
}

const reader = (apps: number, createdAt: number | null = null, listSize = 100) =>
  createReadRecentRows({
    ...{ redis, listSize, problem: () => null, appCreatedAt: () => createdAt },
    apps: () => Array.from({ length: apps }, (_, number) => ({ slug: slugOf(number) })),
  });

test("lists that were used last are read first, until the caller has enough", async () => {
  await write(100);
  let asked = 0;
  const { rows, doneTo, leftOut } = await reader(100)((found, after) => {
    asked++;
    return found.filter(({ row }) => Date.parse(row.date) > after).length >= 30;
  });
  expect(rows.map(({ app }) => app)).toEqual(Array.from({ length: rows.length }, (_, at) => slugOf(at)));
  expect(rows.length).toBeGreaterThanOrEqual(30);
  expect(rows.length).toBeLessThan(100);
  // Everything after that time has been read.
  expect(doneTo).toBe(NOON - rows.length * 1_000);
  expect([asked > 0, leftOut]).toEqual([true, 0]);
});

test("a call reads a bounded number of lists, and says how many it left out", async () => {
  await write(450);
  const { rows, doneTo, leftOut } = await reader(450)(() => false);
  expect([rows.length, leftOut, doneTo]).toEqual([400, 50, null]);
});

test("a full list says how far back it reaches, and rows of an earlier app with the slug are left out", async () => {
  await write(2);
  expect((await reader(2, null, 1)(() => false)).reachesBackTo).toBe(NOON - 5);
  expect((await reader(2)(() => false)).reachesBackTo).toBeNull();
  expect((await reader(2, NOON - 500)(() => false)).rows.map(({ app }) => app)).toEqual([slugOf(0)]);
});

test("a key of another type hides only its own rows", async () => {
  await write(2);
  await look.set(`posthorn:${keys.errors(slugOf(0), "issue.created")}`, "no list");
  await look.set(`posthorn:${keys.eventTypes(slugOf(1))}`, "no set");
  expect((await reader(2)(() => false)).rows.map(({ app }) => app)).toEqual([slugOf(0)]);
});
