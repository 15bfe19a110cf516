/** What bench/peers counts, where a fault of the bench would be taken for one of a product. */
import { spawnSync } from "node:child_process";
import { describe, expect, test } from "vitest";
import { lostAndTwice, shareOf } from "../../bench/peers/measure.ts";
import { useOf } from "../../bench/peers/processes.ts";
import { table } from "../../bench/peers/report.ts";

describe("after a kill", () => {
  test("an accepted event that did not come is lost, and one that was refused is not", () => {
    expect(lostAndTwice([0, 1, 3], [0, 3], 1)).toEqual({ lost: 1, twice: 0 });
  });

  test("each request beyond one for each endpoint counts, of refused events, too", () => {
    expect(lostAndTwice([0, 1], [0, 0, 0, 1, 2, 2], 1)).toEqual({ lost: 0, twice: 3 });
    expect(lostAndTwice([0, 1], [0, 0, 1], 2)).toEqual({ lost: 1, twice: 0 });
  });
});

test("a delay beyond what has arrived has no end", () => {
  expect(shareOf([1, 2, 3, 4], 4, 0.5)).toBe(3);
  expect(shareOf([1, 2, 3, 4], 8, 0.25)).toBe(3);
  expect(shareOf([1, 2, 3, 4], 8, 0.5)).toBe(Number.POSITIVE_INFINITY);
});

test.skipIf(process.platform !== "linux")("the CPU time of children that have ended is counted", () => {
  const before = useOf([process.pid]).cpuUs;
  spawnSync(process.execPath, ["-e", "const end = process.cpuUsage().user + 50_000; while (process.cpuUsage().user < end);"]);
  expect(useOf([process.pid]).cpuUs - before).toBeGreaterThanOrEqual(50_000);
});

test("the table has medians of the rounds, and the faults of the one that has them", () => {
  const round = { perSecond: 100, productUs: 10, storesUs: 5, productMb: { atRest: 1, loaded: 2 }, storesMb: 3, p50: 1, p99: 2_000 };
  const first = { ...round, crash: { accepted: 9, lost: 1, twice: 2, refused: 0 }, beside: { p99: Infinity, delivered: 4, sent: 9 } };
  const others = [200, 300].map((perSecond) => ({ ...round, perSecond, crash: null, beside: null }));
  expect(table(new Map([["peer", [first, ...others]]])).split("\n")[2]).toBe(
    "| peer | 200 (100–300) | 10 | 5 | 1 → 2 | 3 | 1.0 ms · 2.0 s | not within the time (4 of 9) | 1 · 2 of 9 |",
  );
});
