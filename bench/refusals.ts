/**
 * `npm run bench:refusals [-- --minutes 10] [--rate 500] [--replicas 2]`: a bad deploy. A receiver answers 404 to everything for so long
 * while events flow, and works again. What is lost, how long the rest takes, and what the status events say. Ends with 1 when a delivery
 * is lost or given up, or the app does not fail and recover exactly once.
 */
import type { ChildProcess } from "node:child_process";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { loadavg } from "node:os";
import { freePort } from "../scripts/servers.mjs";
import { ended, startPosthorn } from "./support/contenders.ts";
import { readOptions } from "./support/options.ts";
import { cpuUs, machine, residentMb } from "./support/usage.ts";
import { createWorld, uuidOf } from "./support/world.ts";

const { minutes, rate, replicas } = readOptions("refusals", { minutes: 10, rate: 500, replicas: 2 });

/** Before, and after the recovery until the app is healthy. */
const WELL_S = 10;
const LOOK_MS = 250;
const WITHIN_MS = 15 * 60_000;
const APP = "acme";

const delivered = new Set<number>();
let isBad = false;
let [refused, twice] = [0, 0];
const receiver = createServer(async (request, response) => {
  const event = Number(/"n":(\d+)/.exec(Buffer.concat(await request.toArray()).toString())?.[1]);
  if (isBad) refused++;
  else if (delivered.has(event)) twice++;
  else delivered.add(event);
  response.writeHead(isBad ? 404 : 200).end();
});
await new Promise<void>((resolve) => receiver.listen({ port: 0, host: "127.0.0.1", backlog: 1_024 }, resolve));

const world = await createWorld(1);
const { prefix } = world.nextStream();
const ports: number[] = [];
while (ports.length < replicas) ports.push(await freePort());
const posthorns: ChildProcess[] = [];
for (const port of ports) posthorns.push(await startPosthorn(world, prefix, { POSTHORN_HTTP_PORT: String(port) }));
const api = async (path: string, body?: object): Promise<any> => {
  const sent = body && { method: "PUT", body: JSON.stringify(body), headers: { "content-type": "application/json" } };
  return (await fetch(`http://127.0.0.1:${ports[0]}/v1/${path}`, sent)).json();
};
await api(`apps/${APP}`, { webhook_url: `http://127.0.0.1:${(receiver.address() as AddressInfo).port}/`, events: ["*"] });
await api(`installations/${uuidOf(1)}`, { app: APP, organization_id: "1" });

let published = 0;
let mostMb = posthorns.map(() => 0);
const publishFor = async (seconds: number): Promise<void> => {
  const next = (): string => `{"organization_id":"1","data":{"n":${published++},"text":"${"x".repeat(300)}"}}`;
  await world.publishAtRate(next, rate, seconds);
};
const look = setInterval(() => {
  mostMb = posthorns.map(({ pid }, at) => Math.max(mostMb[at] ?? 0, residentMb(pid ?? 0)));
}, LOOK_MS);
/** @returns seconds until the first `count` events are delivered */
const untilDelivered = async (count: number): Promise<number> => {
  const startedAt = performance.now();
  const isMissing = (): boolean => delivered.size < count && Array.from({ length: count }, (_, n) => n).some((n) => !delivered.has(n));
  while (isMissing() && performance.now() - startedAt < WITHIN_MS) await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
  return (performance.now() - startedAt) / 1_000;
};
const messagesIn = async (stream: string): Promise<number> =>
  (await world.manager.streams.info(`${prefix}_${stream}`.toUpperCase().replaceAll("-", "_"))).state.messages;
const usedS = (): number => posthorns.reduce((sum, { pid }) => sum + cpuUs(pid ?? 0) / 1e6, 0);

await publishFor(WELL_S);
console.log(
  `${rate} events a second, ${replicas} replicas with ${posthorns.map(({ pid }) => residentMb(pid ?? 0).toFixed(0)).join(" and ")} MB`,
);
isBad = true;
const usedBefore = usedS();
await publishFor(minutes * 60);
const used = usedS() - usedBefore;
const [published0, parked] = [published, await messagesIn("PARKED")];
isBad = false;
const flowing = publishFor(WELL_S);
const seconds = await untilDelivered(published0);
await flowing;
await untilDelivered(published);
const lost = published - delivered.size;
const isHealthy = async (): Promise<boolean> => (await api(`apps/${APP}/overview`)).items[0].health.state === "healthy";
for (const startedAt = performance.now(); !(await isHealthy()) && performance.now() - startedAt < WITHIN_MS; ) await publishFor(1);
await new Promise((resolve) => setTimeout(resolve, 1_000));
const types: string[] = (await api("status-events?limit=1000")).items.map(({ type }: { type: string }) => type).reverse();
const deadLetters = await messagesIn("DEAD_LETTERS");
console.log(
  `404 for ${minutes} min: ${refused} of ${published0} events' attempts refused, ${parked} deliveries parked, ${used.toFixed(0)} s of CPU`,
);
console.log(
  `all of them delivered ${seconds.toFixed(1)} s after the recovery; ${lost} lost, ${twice} delivered twice, ${deadLetters} dead letters`,
);
console.log(
  `status events: ${types.join(", ")}; at most ${mostMb.map((mb) => mb.toFixed(0)).join(" and ")} MB; load ${loadavg()[0]?.toFixed(1)}`,
);
console.log(machine());
clearInterval(look);
await Promise.all(posthorns.map(ended));
receiver.closeAllConnections();
await world.stop();
const isOnce = ["app.failing", "app.healthy"].every((wanted) => types.filter((type) => type === wanted).length === 1);
process.exit(lost === 0 && deadLetters === 0 && isOnce ? 0 : 1);
