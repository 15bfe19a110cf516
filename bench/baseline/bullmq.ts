/**
 * What somebody might write who has Redis at hand: BullMQ, one job per delivery, undici's request, a log row per job. No
 * routing, circuit, retries stream or durable bus; a job is in Redis only.
 */
import { createHmac, randomUUID } from "node:crypto";
import { Worker } from "bullmq";
import { Redis } from "ioredis";
import { Agent, request } from "undici";
import type { BaselineJob, BaselineSettings } from "../support/contenders.ts";
import { settingsSent } from "../support/settings-sent.ts";

const { redisUrl, queue } = (await settingsSent()) as BaselineSettings;
const IN_FLIGHT = 256;
const CONNECTIONS_PER_ORIGIN = 16;

const redis = new Redis(redisUrl);
const dispatcher = new Agent({ connections: CONNECTIONS_PER_ORIGIN });
const secret = "ab".repeat(32);

const worker = new Worker<BaselineJob>(
  queue,
  async ({ data: { url, app, event } }) => {
    const body = JSON.stringify({ action: "created", installation: { uuid: randomUUID() }, data: event, actor: { type: "application" } });
    const startedAt = Date.now();
    const response = await request(url, {
      method: "POST",
      dispatcher,
      headers: { "content-type": "application/json", "sentry-hook-signature": createHmac("sha256", secret).update(body).digest("hex") },
      body,
      signal: AbortSignal.timeout(10_000),
    });
    await response.body.dump();
    const row = JSON.stringify({ date: new Date(startedAt), response_code: response.statusCode, duration_ms: Date.now() - startedAt });
    const list = `baseline:request:{${app}}:issue.created`;
    await redis.pipeline().lpush(list, row).ltrim(list, 0, 99).exec();
  },
  { connection: { url: redisUrl }, concurrency: IN_FLIGHT, removeOnComplete: { count: 0 } },
);
await worker.waitUntilReady();
process.send?.("ready");
process.on("disconnect", () => process.exit(0));
