/**
 * A replay that reads many events and sends some: how fast it reads, how fast it sends, and what it costs in memory.
 * Usage: npm run example -- bench/replay.ts [events] [sent] [per second]
 */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { loadavg } from "node:os";
import { startNatsServer, startRedisServer } from "../scripts/servers.mjs";
import { connectBus, startPosthorn } from "../test/support/posthorn.ts";
import { cpuUs, residentMb } from "./support/usage.ts";

const EVENTS = Number(process.argv[2] ?? 1_000_000);
const SENT = Number(process.argv[3] ?? 100_000);
const RATE = Number(process.argv[4] ?? 1_000);
const PUBLISHED_AT_ONCE = 500;

const [nats, redis] = await Promise.all([startNatsServer(), startRedisServer()]);
let received = 0;
const server = createServer((request, response) => {
  request.resume().on("end", () => {
    received++;
    response.end("ok");
  });
});
await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
const posthorn = await startPosthorn({ nats, redis, settings: { POSTHORN_LOG_DELIVERED_PERCENT: "0" } });
const bus = await connectBus(nats, posthorn.prefix);

// Nobody is installed yet. Every event has 1 KB of data; those to send are spread evenly.
const every = EVENTS / SENT;
for (let from = 0; from < EVENTS; from += PUBLISHED_AT_ONCE) {
  await Promise.all(
    Array.from({ length: Math.min(PUBLISHED_AT_ONCE, EVENTS - from) }, (_, n) => {
      const isSent = Math.floor((from + n) / every) !== Math.floor((from + n - 1) / every);
      return bus.publish("issue.created", { organization_id: isSent ? "42" : "other", data: { text: "x".repeat(1_000) } });
    }),
  );
}
const { slug } = await posthorn.install({ webhook_url: url, organization_id: "42" });

const pid = posthorn.child.pid ?? 0;
const before = residentMb(pid);
let most = before;

interface Run {
  readonly seconds: number;
  readonly cpu: number;
  readonly replay: Record<string, unknown>;
}

async function run(dryRun: boolean): Promise<Run> {
  const cpuBefore = cpuUs(pid);
  const startedAt = performance.now();
  const { body } = await posthorn.api("POST", "/v1/replays", { app: slug, what: "missed", rate_per_s: RATE, dry_run: dryRun });
  for (let replay = body as Record<string, unknown>; ; replay = (await posthorn.api("GET", `/v1/replays/${body.id}`)).body) {
    most = Math.max(most, residentMb(pid));
    if (replay["state"] !== "running") {
      const seconds = (performance.now() - startedAt) / 1000;
      return { seconds, cpu: (cpuUs(pid) - cpuBefore) / 1e6, replay };
    }
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

const dry = await run(true);
console.log(
  `dry run: ${EVENTS} events read in ${dry.seconds.toFixed(1)} s (${Math.round(EVENTS / dry.seconds)}/s, ${Math.round((dry.cpu / EVENTS) * 1e6)} µs of CPU each), ${dry.replay["found"]} found`,
);
const sent = await run(false);
console.log(
  `replay: ${sent.replay["done"]} delivered in ${sent.seconds.toFixed(1)} s (${Math.round(received / sent.seconds)}/s of at most ${RATE}/s, ${Math.round((sent.cpu / received) * 1e6)} µs of CPU each)`,
);
console.log(`${received} requests for ${sent.replay["sent"]} deliveries; state ${sent.replay["state"]}`);
console.log(
  `load average: ${loadavg()
    .map((load) => load.toFixed(1))
    .join(" ")}`,
);
console.log(`resident memory: ${before.toFixed(0)} MB before, at most ${most.toFixed(0)} MB`);
await posthorn.end();
await bus.close();
server.closeAllConnections();
server.close();
await Promise.all([nats.stop(), redis.stop()]);
process.exit(0);
