import { expect, test } from "vitest";
import { systemClock } from "../../src/model/clock.ts";
import { createGiveBacks } from "../../src/storage/give-backs.ts";
import { eventually } from "../support/eventually.ts";
import { redisOfFile } from "../support/redis-of-file.ts";

const { redis, look } = await redisOfFile();

const message = { stream: "T_EVENTS", sequence: 7 };
const KEY = "posthorn:give-backs:T_EVENTS:7";

test("a message's give-backs are counted over all replicas, and it has none at first", async () => {
  const [one, other] = [createGiveBacks(redis, systemClock), createGiveBacks(redis, systemClock)];
  expect(await one.count(message)).toBe(0);
  one.note(message);
  other.note(message);
  await eventually(async () => (await one.count(message)) === 2);
  expect(await look.ttl(KEY)).toBeGreaterThan(0);
  await look.del(KEY);
});

test("BACK-1: those that Redis did not take are added later, and no message's count is known before", async () => {
  const giveBacks = createGiveBacks(redis, systemClock);
  // Redis refuses to count in it.
  await look.set(KEY, "something else");
  for (let n = 0; n < 12; n++) giveBacks.note(message);
  const other = { ...message, sequence: 8 };
  await eventually(async () => (await giveBacks.count(other)) === null);
  await look.del(KEY);
  await eventually(async () => (await giveBacks.count(message)) === 12);
  expect(await giveBacks.count(other)).toBe(0);
});

test("BACK-1: what is noted while others are added is added, too, and nothing may be given back before", async () => {
  const tasks: Array<() => unknown> = [];
  const after = (_delayMs: number, task: () => unknown) => {
    tasks.push(task);
    return () => {};
  };
  const giveBacks = createGiveBacks(redis, { ...systemClock, after });
  const other = { ...message, sequence: 8 };
  const OTHER_KEY = "posthorn:give-backs:T_EVENTS:8";
  await look.mset(KEY, "something else", OTHER_KEY, "something else");
  for (const one of [message, other]) giveBacks.note(one);
  // Its answer comes after the refusals of both.
  await redis.get("posthorn:nothing");
  await eventually(() => !giveBacks.mayGiveBack());
  await look.del(KEY);
  // Redis answers in this order.
  giveBacks.note(other);
  tasks.shift()?.();
  await eventually(() => tasks.length === 1);
  await look.del(OTHER_KEY);
  tasks.shift()?.();
  await eventually(async () => giveBacks.mayGiveBack());
  expect([await giveBacks.count(message), await giveBacks.count(other)]).toEqual([1, 2]);
});

test("while the process stops, what it holds may be given back in any case", async () => {
  let isStopping = false;
  const giveBacks = createGiveBacks(redis, systemClock, () => isStopping);
  await look.set(KEY, "something else");
  giveBacks.note(message);
  await eventually(() => !giveBacks.mayGiveBack());
  isStopping = true;
  expect(giveBacks.mayGiveBack()).toBe(true);
  await look.del(KEY);
});
