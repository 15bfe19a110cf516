import { expect, test } from "vitest";
import { type AppPace, appPace, type ReplicaPace } from "../../../src/model/app-pace.ts";

const replica = (members: Partial<ReplicaPace>): ReplicaPace => ({ perS: null, atOnce: null, isWaiting: true, ...members });

test.each<[string, number | null, ReplicaPace[], AppPace | null]>([
  ["nothing", null, [], null],
  ["a rate limit that holds nothing up", 20, [replica({ isWaiting: false })], null],
  ["a rate limit", 20, [replica({})], { because: "rate_limit", perS: 20, atOnce: null }],
  ["a receiver that takes less than the rate limit", 20, [replica({ perS: 12 })], { because: "pace", perS: 12, atOnce: null }],
  [
    "what each of two replicas has learned",
    null,
    [replica({ perS: 5 }), replica({ perS: 3, isWaiting: false })],
    { because: "pace", perS: 8, atOnce: null },
  ],
  ["a learned rate that holds nothing up", null, [replica({ perS: 5, isWaiting: false })], null],
  [
    "a number at once",
    null,
    [replica({ atOnce: 2, isWaiting: false }), replica({ atOnce: 1 })],
    { because: "pace", perS: null, atOnce: 3 },
  ],
])("%s slows an app down, or not", (_what, rateLimit, replicas, expected) => {
  expect(appPace(rateLimit, replicas)).toEqual(expected);
});
