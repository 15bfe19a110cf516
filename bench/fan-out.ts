/**
 * One event for 100,000 installations, and small events beside it: how long it takes, what it costs in memory, and what the
 * small ones feel of it. Usage: npm run example -- bench/fan-out.ts [installations]
 */
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { startNatsServer, startRedisServer } from "../scripts/servers.mjs";
import { connectBus, startPosthorn } from "../test/support/posthorn.ts";

const INSTALLATIONS = Number(process.argv[2] ?? 100_000);
const APPS = 20;
const SMALL_EVERY_MS = 20;

const [nats, redis] = await Promise.all([startNatsServer(), startRedisServer()]);
let large = 0;
const small = new Map<string, number>();
const server = createServer((request, response) => {
  const chunks: Buffer[] = [];
  request.on("data", (chunk: Buffer) => chunks.push(chunk));
  request.on("end", () => {
    const { data } = JSON.parse(Buffer.concat(chunks).toString()) as { data: { small?: string } };
    if (data.small === undefined) large++;
    else small.set(data.small, performance.now());
    response.end("ok");
  });
});
await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;

const posthorn = await startPosthorn({ nats, redis, settings: { POSTHORN_LOG_LEVEL: "info" } });
const bus = await connectBus(nats, posthorn.prefix);
const bucket = await bus.jetStream.views.kv(`${posthorn.prefix}-registry`);
await posthorn.install({ webhook_url: url, organization_id: "small" });
const now = new Date().toISOString();
for (let app = 0; app < APPS; app++) await posthorn.api("PUT", `/v1/apps/app-${app}`, { webhook_url: url, events: ["*"] });
for (let from = 0; from < INSTALLATIONS; from += 1_000) {
  await Promise.all(
    Array.from({ length: Math.min(1_000, INSTALLATIONS - from) }, (_, n) => {
      const uuid = `00000000-0000-4000-8000-${String(from + n).padStart(12, "0")}`;
      const record = {
        uuid,
        app: `app-${(from + n) % APPS}`,
        organization_id: "large",
        project_ids: [],
        status: "active",
        created_at: now,
        updated_at: now,
      };
      return bucket.put(`installation.${uuid}`, JSON.stringify(record));
    }),
  );
}
while (
  ((await posthorn.api("GET", "/metrics")).body as string).includes(`posthorn_integrations{status="active"} ${INSTALLATIONS + 1}`) === false
) {
  await new Promise((resolve) => setTimeout(resolve, 250));
}

const residentMb = (): number => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${posthorn.child.pid}/status`, "utf8"))?.[1] ?? 0) / 1024;
const publishedAt = new Map<string, number>();
let count = 0;
const publishSmall = async (): Promise<void> => {
  const name = `small-${++count}`;
  publishedAt.set(name, performance.now());
  await bus.publish("issue.created", { organization_id: "small", data: { small: name } });
};
const delays = (): string => {
  const sorted = [...small].map(([name, at]) => at - (publishedAt.get(name) ?? at)).sort((a, b) => a - b);
  const at = (share: number): string => (sorted[Math.floor(sorted.length * share)] ?? 0).toFixed(1);
  return `p50 ${at(0.5)} ms, p99 ${at(0.99)} ms of ${sorted.length}`;
};
const timer = setInterval(() => void publishSmall(), SMALL_EVERY_MS);
await new Promise((resolve) => setTimeout(resolve, 3_000));
console.log(`small events before: ${delays()}`);
small.clear();
const before = residentMb();
let most = before;
const startedAt = performance.now();
await bus.publish("issue.created", { organization_id: "large", data: { text: "x".repeat(1_000) } });
while (large < INSTALLATIONS) {
  await new Promise((resolve) => setTimeout(resolve, 100));
  most = Math.max(most, residentMb());
  posthorn.log.length = 0;
}
const seconds = (performance.now() - startedAt) / 1000;
clearInterval(timer);
console.log(`small events during: ${delays()}`);
console.log(`${INSTALLATIONS} deliveries of one event in ${seconds.toFixed(1)} s, ${large} requests`);
console.log(`resident memory: ${before.toFixed(0)} MB before, at most ${most.toFixed(0)} MB`);
await posthorn.end();
await bus.close();
server.closeAllConnections();
server.close();
await Promise.all([nats.stop(), redis.stop()]);
process.exit(0);
