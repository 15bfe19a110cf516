import { expect, test } from "vitest";
import { createHandOuts } from "../../src/storage/hand-outs.ts";
import { redisOfFile } from "../support/redis-of-file.ts";

const { redis, look } = await redisOfFile();

const message = { stream: "T_EVENTS", sequence: 7, dedupKey: "dlv" };
const KEY = "posthorn:hand-outs:T_EVENTS:7:dlv";

test("hand-outs of a delivery are counted over all replicas, without the last one when it is given back", async () => {
  const [one, other] = [createHandOuts(redis), createHandOuts(redis)];
  expect([await one.begin(message), await other.begin(message)]).toEqual([1, 2]);
  expect(await look.ttl(KEY)).toBeGreaterThan(0);
  one.giveBack(message);
  expect(await one.begin(message)).toBe(2);
  await look.del(KEY);
});

test("a hand-out that is given back after another one of the delivery has ended takes nothing from those that follow", async () => {
  const handOuts = createHandOuts(redis);
  for (let n = 0; n < 2; n++) await handOuts.begin(message);
  handOuts.end(message);
  handOuts.giveBack(message);
  expect(await handOuts.begin(message)).toBe(1);
  await look.del(KEY);
});
