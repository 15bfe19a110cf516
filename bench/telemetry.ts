/**
 * What telemetry costs per delivery, in CPU time of the process: spans, metrics and the log line of a delivered attempt, with
 * the SDK off and on, beside a bare loop over real sockets that does the same input and output without any (consume, HMAC,
 * POST, batched Redis, ack). Run it with: npm run example -- bench/telemetry.ts
 */

import { spawn } from "node:child_process";
import { createHmac } from "node:crypto";
import { once } from "node:events";
import { Redis } from "ioredis";
import { AckPolicy, type ConsumerMessages, connect } from "nats";
import { pino } from "pino";
import { Pool } from "undici";
import { startNatsServer, startRedisServer } from "../scripts/servers.mjs";
import type { AttemptRecord } from "../src/delivery/ports.ts";
import type { TracePosition, Tracing } from "../src/delivery/tracing-ports.ts";
import { createSubjects } from "../src/jetstream/subjects.ts";
import { newDelivery } from "../src/model/delivery.ts";
import type { Event } from "../src/model/event.ts";
import { createDeliveryObserver } from "../src/telemetry/delivery-observer.ts";
import { createLog } from "../src/telemetry/logger.ts";
import { createMeter, createMetrics } from "../src/telemetry/metrics.ts";
import { startSdk } from "../src/telemetry/sdk.ts";
import { createTracing } from "../src/telemetry/tracing.ts";

const ROUNDS = 5;
const DELIVERIES = 40_000;
/** Deliveries of one turn of the event loop. */
const AT_ONCE = 50;
/** So that as few exports are under way at once as the exporter allows. */
const FLUSH_EVERY = 2_000;
const BARE_DELIVERIES = 20_000;

const UUID = "0f3c1d2e-5b6a-4c7d-8e9f-0a1b2c3d4e5f";
const URL_OF_HOOK = "https://hooks.acme.example/in";
const eventOf = (flags: string): Event => ({
  ...{ id: "evt-1", source: null, resource: "issue", action: "created", type: "issue.created", organizationId: "42" },
  ...{ installationUuid: null, app: null, projectId: "7", dataJson: "{}", actorJson: null, occurredAt: new Date().toISOString() },
  publishedAt: Date.now(),
  ...{ traceparent: `00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-${flags}`, tracestate: null },
});
const app = {
  ...{ slug: "acme", name: "Acme", webhookUrl: URL_OF_HOOK, status: "published" as const, events: ["*"], headers: {} },
  ...{
    timeoutMs: null,
    retryScheduleMs: null,
    retryOn: null,
    maxInFlight: null,
    rateLimit: null,
    orderBy: "none" as const,
    onExhausted: "continue" as const,
  },
  ...{ clientSecret: "ab".repeat(32), previousSecret: null },
  ...{ createdAt: null, updatedAt: null },
};
const installation = {
  ...{ uuid: UUID, app: "acme", organizationId: "42", projectIds: [], status: "active" as const, webhookUrl: null },
  ...{ createdAt: null, updatedAt: null },
};
const message = {
  subject: "app-platform.events.issue.created",
  consumer: "posthorn-events",
  sequence: 1,
  deliveries: 1,
  header: () => undefined,
};
const body = Buffer.from("{}");

function recordOf(delivery: AttemptRecord["delivery"], { traceId, spanId, traceparent }: TracePosition): AttemptRecord {
  const now = Date.now();
  return {
    ...{ delivery, app, installation, attempt: 1, startedAt: now, endedAt: now, durationMs: 12.3, webhookUrl: URL_OF_HOOK },
    ...{ outcome: "delivered" as const, receiver: "up" as const, responseCode: 200, pauseMs: null, error: null },
    ...{ errorId: null, projectId: null, traceId, spanId },
    ...{
      requestHeaders: { traceparent },
      requestBody: () => body,
      responseHeaders: null,
      responseBody: body,
      responseBodySize: body.length,
    },
  };
}

const nowhere: TracePosition = { traceId: "", spanId: "", traceparent: "", tracestate: null };
const silent = (): void => {};

/** The same calls with nothing behind them: what is left is the price of calling. */
const nothing: Pick<Tracing, "process" | "deliver" | "attempt"> = {
  process: (_event, _stream, _message, work) => work(nowhere),
  deliver: (parent, _delivery, work) => work(parent),
  attempt: () => ({ ...nowhere, end: silent }),
};

function cpuUs(): number {
  const { user, system } = process.cpuUsage();
  return user + system;
}

/** CPU microseconds per delivery, the median of some rounds. */
async function measure(
  event: Event,
  tracing: typeof nothing,
  attempted: (record: AttemptRecord) => void,
  flush: () => Promise<void>,
): Promise<number> {
  const one = (): Promise<void> =>
    tracing.process(event, "events", message, (span) => {
      const delivery = newDelivery(event, "acme", UUID, 1);
      return tracing.deliver(span, delivery, async (inner) => {
        const attempt = tracing.attempt(inner, delivery, 1, URL_OF_HOOK);
        const record = recordOf(delivery, attempt);
        attempt.end(record);
        attempted(record);
      });
    });
  const rounds: number[] = [];
  for (let round = 0; round <= ROUNDS; round++) {
    const before = cpuUs();
    for (let done = 0; done < DELIVERIES; done += AT_ONCE) {
      await Promise.all(Array.from({ length: AT_ONCE }, one));
      await new Promise((resolve) => setImmediate(resolve));
      if (done % FLUSH_EVERY === 0) await flush();
    }
    // The first round only warms up.
    if (round > 0) rounds.push((cpuUs() - before) / DELIVERIES);
  }
  return rounds.sort((a, b) => a - b)[Math.floor(rounds.length / 2)] ?? 0;
}

/** A server in a process of its own, whose time does not count: it answers 200 to everything. */
async function startSink(): Promise<{ url: string; stop: () => void }> {
  const source = `
    const server = require("node:http").createServer((request, response) => {
      request.resume();
      request.on("end", () => response.writeHead(200, { "content-type": "application/json" }).end("{}"));
    });
    server.listen(0, "127.0.0.1", () => process.send(server.address().port));
    process.on("disconnect", () => process.exit());`;
  const child = spawn(process.execPath, ["-e", source], { stdio: ["ignore", "ignore", "inherit", "ipc"] });
  const [port] = (await once(child, "message")) as [number];
  return { url: `http://127.0.0.1:${port}`, stop: () => void child.kill() };
}

/** The bare loop: what any worker has to do for a delivery. */
async function measureBareLoop(): Promise<number> {
  const [nats, redisServer, sink] = await Promise.all([startNatsServer(), startRedisServer(), startSink()]);
  const connection = await connect({ servers: nats.url });
  const manager = await connection.jetstreamManager();
  await manager.streams.add({ name: "BARE", subjects: ["bare.*"] });
  await manager.consumers.add("BARE", { durable_name: "bare", ack_policy: AckPolicy.Explicit, max_ack_pending: 1_000 });
  const jetStream = connection.jetstream();
  const payload = JSON.stringify({ organization_id: "42", data: { text: "x".repeat(900) } });
  for (let sent = 0; sent < BARE_DELIVERIES; sent += 500)
    await Promise.all(Array.from({ length: 500 }, () => jetStream.publish("bare.issue", payload)));
  const redis = new Redis(redisServer.url);
  const pool = new Pool(sink.url, { connections: 32 });
  const consumer = await jetStream.consumers.get("BARE", "bare");
  let rows: string[] = [];
  const flush = (): void => {
    const batch = rows;
    rows = [];
    void redis.lpush("bare", ...batch);
  };
  const before = cpuUs();
  let consuming: ConsumerMessages | undefined;
  await new Promise<void>((resolve, reject) => {
    let done = 0;
    const started = consumer.consume({
      max_messages: 256,
      callback: (received) => {
        const signature = createHmac("sha256", "secret").update(received.data).digest("hex");
        void pool
          .request({ path: "/", method: "POST", headers: { "content-type": "application/json", signature }, body: received.data })
          .then(async ({ body: answer }) => {
            await answer.dump();
            if (rows.push(signature) === 1) setTimeout(flush, 5);
            received.ack();
            if (++done === BARE_DELIVERIES) resolve();
          });
      },
    });
    started.then((messages) => {
      consuming = messages;
    }, reject);
  });
  const spent = cpuUs() - before;
  await consuming?.close();
  await new Promise((resolve) => setTimeout(resolve, 50));
  await pool.close();
  redis.disconnect();
  await connection.close();
  sink.stop();
  await Promise.all([nats.stop(), redisServer.stop()]);
  return spent / BARE_DELIVERIES;
}

const bareLoopUs = await measureBareLoop();
const log = createLog("info", pino.destination({ dest: "/dev/null", sync: true }));
const observerOf = () => {
  const metrics = createMetrics(createMeter("bench"));
  metrics.stop();
  return createDeliveryObserver(
    { log, metrics, isDebugged: () => false, evidenceOf: () => ({}) },
    { metricsApps: 100, logDeliveredPercent: 100 },
  );
};
const noFlush = async (): Promise<void> => {};
const options = { subjectTemplate: createSubjects("bench").template, natsServer: () => "127.0.0.1:4222", redisUrl: null };

const emptyUs = await measure(eventOf("01"), nothing, silent, noFlush);
const off = await measure(eventOf("01"), createTracing(null), observerOf().attempted, noFlush);

// With the SDK spans and metrics go to a real receiver.
const sink = await startSink();
// The exporters read their own settings from the environment.
process.env["OTEL_EXPORTER_OTLP_ENDPOINT"] = sink.url;
const environment = {
  ...process.env,
  OTEL_BSP_MAX_QUEUE_SIZE: "1000000",
  OTEL_METRIC_EXPORT_INTERVAL: "1000",
  OTEL_METRIC_EXPORT_TIMEOUT: "1000",
};
const sdk = await startSdk(environment, "bench", log.logger);
const tracing = createTracing(sdk.tracer === null ? null : { tracer: sdk.tracer, ...options });
const { attempted } = observerOf();
const unsampled = await measure(eventOf("00"), tracing, attempted, noFlush);
const sampled = await measure(eventOf("01"), tracing, attempted, sdk.flush);
await sdk.stop();
sink.stop();

const line = (what: string, us: number): void => {
  const cost = us - emptyUs;
  console.log(`${what.padEnd(46)} ${cost.toFixed(2).padStart(7)} µs  ${((bareLoopUs + cost) / bareLoopUs).toFixed(3)} × the bare loop`);
};
console.log(`bare loop over real sockets, 1 KB events${" ".repeat(7)}${bareLoopUs.toFixed(1).padStart(7)} µs of CPU per delivery`);
line("telemetry, SDK off", off);
line("telemetry, SDK on, trace not sampled", unsampled);
line("telemetry, SDK on, every trace sampled, exported", sampled);
process.exit(0);
