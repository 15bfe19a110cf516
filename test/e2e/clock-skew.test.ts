/** A replica whose clock is not the NATS server's says so, on every server version. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { eventually } from "../support/eventually.ts";
import { type Posthorn, startPosthornHere } from "../support/posthorn.ts";
import { type Server, startNatsServer, startRedisServer } from "../support/servers.ts";
import { createTestClock, HOUR_MS } from "../support/test-clock.ts";

let nats: Server;
let redis: Server;

beforeAll(async () => {
  [nats, redis] = await Promise.all([startNatsServer(), startRedisServer()]);
});
afterAll(async () => {
  await Promise.all([nats.stop(), redis.stop()]);
});

const skewOf = async (posthorn: Posthorn): Promise<number> => {
  const text = String((await posthorn.api("GET", "/metrics")).body);
  return Number(/^posthorn_clock_skew_seconds (\S+)$/m.exec(text)?.[1]);
};
const warnings = ({ log }: Posthorn) =>
  log.filter(({ message }) => String(message).startsWith("this machine's clock differs from the NATS server's"));

test("one that is ahead is measured and warned of; one that is right is not", async ({ onTestFinished }) => {
  const clock = createTestClock();
  const right = await startPosthornHere({ nats, redis });
  const ahead = await startPosthornHere({ nats, redis, settings: clock.settings });
  onTestFinished(async () => {
    await Promise.all([right.end(), ahead.end()]);
    clock.remove();
  });
  const expectedS = (): number => (clock.now() - Date.now()) / 1000;
  await eventually(async () => Math.abs((await skewOf(ahead)) - expectedS()) < 2);
  await clock.advance(HOUR_MS, [ahead]);
  await eventually(async () => Math.abs((await skewOf(ahead)) - expectedS()) < 2);
  expect(warnings(ahead)).toHaveLength(1);
  expect(Math.abs(await skewOf(right))).toBeLessThan(1);
  expect(warnings(right)).toEqual([]);
});
