import { describe, expect, test } from "vitest";
import { failingSince, type RecentAttempts, totalsOf } from "../../../src/model/recent-attempts.ts";

const START = Date.UTC(2026, 0, 5, 11, 30);
const at = (minute: number, second = 0): number => START + minute * 60_000 + second * 1_000;

/** Minutes as [delivered, failures with code 404, second of the first failure]. */
function attempts(
  minutes: ReadonlyArray<readonly [delivered: number, failed: number, second?: number]>,
  lastSuccessAt: number | null = null,
) {
  return {
    minutes: minutes.map(([delivered, failed, second], minute) => ({
      start: at(minute),
      delivered,
      failures: new Map(failed === 0 ? [] : [[404, failed]]),
      firstFailureAt: second === undefined ? null : at(minute, second),
    })),
    lastSuccessAt,
  } satisfies RecentAttempts;
}

test("totals are the sums of the minutes, by response code", () => {
  const [first, second] = attempts([
    [3, 0],
    [1, 5, 10],
  ]).minutes;
  const minutes = [
    first,
    second,
    {
      ...second,
      delivered: 0,
      blocked: 3,
      senderFailed: 1,
      failures: new Map([
        [404, 1],
        [0, 2],
      ]),
    },
  ] as RecentAttempts["minutes"];
  expect(totalsOf({ minutes, lastSuccessAt: null })).toEqual({
    attempts: 12,
    failures: 8,
    blocked: 3,
    senderFailed: 1,
    failuresByCode: new Map([
      [404, 6],
      [0, 2],
    ]),
  });
});

describe("an app fails since", () => {
  test.each<[string, RecentAttempts, number | null]>([
    [
      "nothing failed",
      attempts([
        [5, 0],
        [7, 0],
      ]),
      null,
    ],
    [
      "its first failure, when all failed",
      attempts([
        [0, 0],
        [0, 3, 12],
        [0, 9, 1],
      ]),
      at(1, 12),
    ],
    [
      "the first failure after the successes",
      attempts(
        [
          [50, 0],
          [50, 0],
          [0, 30, 7],
          [0, 30, 0],
        ],
        at(1, 59),
      ),
      at(2, 7),
    ],
    [
      "the last success, when failures before it were few",
      attempts(
        [
          [50, 1, 9],
          [20, 30, 2],
          [0, 80, 0],
        ],
        at(1, 21),
      ),
      at(1, 21),
    ],
    [
      "its first failure, when successes go on among failures",
      attempts(
        [
          [10, 0],
          [1, 9, 5],
          [2, 8, 0],
          [1, 9, 0],
        ],
        at(3, 30),
      ),
      at(1, 5),
    ],
    [
      "not a failure that many successes came after",
      attempts(
        [
          [0, 5, 1],
          [90, 0],
          [0, 40, 3],
        ],
        at(1, 50),
      ),
      at(2, 3),
    ],
    [
      "the minute itself, without the time of its first failure",
      attempts([
        [0, 4],
        [0, 4],
      ]),
      at(0),
    ],
  ])("%s", (_, recent, expected) => {
    expect(failingSince(recent)).toBe(expected);
  });
});
