/**
 * Redis memory of a delivery: the growth of used_memory for each delivered at the first attempt, beside full request logs. The same for
 * one that failed once, waited in the retries stream and was then delivered. Run it with: npm run example -- bench/redis-memory.ts
 */
import { startRedisServer } from "../scripts/servers.mjs";
import { systemClock } from "../src/model/clock.ts";
import { newDelivery } from "../src/model/delivery.ts";
import { connectRedis } from "../src/storage/redis.ts";
import { createRequestLog } from "../src/storage/request-log.ts";
import { createLog, logOutput } from "../src/telemetry/logger.ts";
import { anApp, anAttempt, anEvent, anInstallation } from "../test/support/builders.ts";

const DAYS_8 = 8 * 86_400_000;
const server = await startRedisServer();
const { logger } = createLog("warn", logOutput("json"));
const redis = await connectRedis({ url: server.url, startupTimeoutMs: 20_000 }, systemClock, logger);
const options = { size: 100, listTtlMs: DAYS_8, dedupTtlMs: DAYS_8, notesTtlMs: DAYS_8, bufferRows: 1_000_000, recoveredAt: () => 0 };
const log = createRequestLog({ redis, clock: systemClock, logger }, options);

const uuidOf = (at: number): string => `00000000-0000-4000-8000-${at.toString(16).padStart(12, "0")}`;
const usedBytes = async (): Promise<number> => Number(/used_memory:(\d+)/.exec(await redis.info("memory"))?.[1]);
let events = 0;

async function deliver(count: number, fanOut: number, apps: number, failsFirst: boolean): Promise<void> {
  for (let event = 0; event < count; event++) {
    const id = `2f1c7d9a-5b6a-4c7d-8e9f-${(++events).toString(16).padStart(12, "0")}`;
    for (let to = 0; to < fanOut; to++) {
      const number = (event + to) % apps;
      const delivery = newDelivery(anEvent({ id }), `acme-tracker-${number}`, uuidOf(number), events);
      const of = { delivery, app: anApp({ slug: delivery.app, createdAt: 1 }), installation: anInstallation({ uuid: uuidOf(number) }) };
      const requestHeaders = { traceparent: `00-${id.replaceAll("-", "")}-b7ad6b7169203331-01` };
      if (failsFirst) {
        log.record(anAttempt({ ...of, outcome: "failed", requestHeaders }));
        log.stored({ ...delivery, attemptsMade: 1, stores: 1 }, { stream: "retries", sequence: events });
      }
      log.record(anAttempt({ ...of, attempt: failsFirst ? 2 : 1, requestHeaders }));
    }
    if (event % 500 === 0) await log.flush(60_000);
  }
  await log.flush(60_000);
}

for (const [count, fanOut, apps, failsFirst] of [
  [20_000, 1, 10, false],
  [100_000, 1, 1_000, false],
  [2_000, 10, 10, false],
  [200_000, 1, 100, false],
  [5_000, 1, 10, true],
] as const) {
  await redis.flushall();
  // The lists are full, and have their longest rows.
  await deliver(100 * apps, 1, apps, failsFirst);
  const before = await usedBytes();
  await deliver(count, fanOut, apps, failsFirst);
  const each = ((await usedBytes()) - before) / (count * fanOut);
  const what = `${count * fanOut} deliveries to ${apps} apps, fan-out ${fanOut}${failsFirst ? ", at the second attempt" : ""}`;
  console.log(`${what}: ${each.toFixed(0)} bytes each`);
}
redis.disconnect();
await server.stop();
