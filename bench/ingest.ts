/**
 * `npm run bench:ingest [-- --events 20000] [--rounds 3]`: what an event costs Posthorn, delivery included, when it arrives on the bus, over
 * HTTP, and over HTTP in batches of 100. In turns; medians.
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { Pool } from "undici";
import { freePort } from "../scripts/servers.mjs";
import { ended, startPosthorn } from "./support/contenders.ts";
import { readOptions } from "./support/options.ts";
import { cpuUs, machine, median, monotonicUs } from "./support/usage.ts";
import { bodyOf, createWorld, uuidOf } from "./support/world.ts";

const { events, rounds } = readOptions("ingest", { events: 20_000, rounds: 3 }, { events: 1_000 });

const DESTINATIONS = 100;
const BODY_BYTES = 1_000;
const BATCH = 100;
const CONCURRENT_CALLS = 32;
const SUBJECT_TYPE = "issue.created";

const world = await createWorld(DESTINATIONS);
const { prefix } = world.nextStream();
const appsFile = join(world.folder, "apps.json");
const everybody = Array.from({ length: DESTINATIONS }, (_, app) => app);
writeFileSync(
  appsFile,
  JSON.stringify({
    apps: everybody.map((app) => ({ slug: `app-${app}`, webhook_url: world.receiver.urls[app], events: ["issue"] })),
    installations: everybody.map((app) => ({ uuid: uuidOf(app), app: `app-${app}`, organization_id: String(app) })),
  }),
);
const port = await freePort();
const settings = { POSTHORN_APPS_FILE: appsFile, POSTHORN_HTTP_PORT: String(port), POSTHORN_HTTP_RATE_LIMIT: "100000000" };
const posthorn = await startPosthorn(world, prefix, settings);
const pool = new Pool(`http://127.0.0.1:${port}`, { connections: CONCURRENT_CALLS });

/** The event as a member-named type, which HTTP wants. */
const textOf = (at: number): string =>
  `{"type":"${SUBJECT_TYPE}",${bodyOf(BODY_BYTES - SUBJECT_TYPE.length - 10, String(at % DESTINATIONS), monotonicUs()).slice(1)}`;

async function post(body: string, wanted: number): Promise<void> {
  const answer = await pool.request({ method: "POST", path: "/v1/events", headers: { "content-type": "application/json" }, body });
  const text = await answer.body.text();
  if (answer.statusCode !== wanted) throw new Error(`POST /v1/events: found ${answer.statusCode}, wanted ${wanted}: ${text}`);
}

async function overHttp(count: number, eventsPerCall: number): Promise<void> {
  let next = 0;
  const caller = async (): Promise<void> => {
    while (next < count) {
      const texts = Array.from({ length: Math.min(eventsPerCall, count - next) }, () => textOf(next++));
      await (eventsPerCall === 1 ? post(texts[0] ?? "", 202) : post(`{"events":[${texts.join(",")}]}`, 207));
    }
  };
  await Promise.all(Array.from({ length: CONCURRENT_CALLS }, caller));
}

const ways: ReadonlyArray<readonly [string, (count: number) => Promise<void>]> = [
  ["on the bus", (count) => world.publish({ destinations: DESTINATIONS, bodyBytes: BODY_BYTES, fanOut: 1 }, count)],
  ["over HTTP", (count) => overHttp(count, 1)],
  [`over HTTP, ${BATCH} a call`, (count) => overHttp(count, BATCH)],
];
const results = new Map<string, { us: number[]; perSecond: number[] }>();

for (let round = 0; round <= rounds; round++) {
  for (const [name, publish] of ways) {
    const count = round === 0 ? 1_000 : events;
    const received = world.receiver.expect(count);
    const [startedAt, cpuBefore] = [monotonicUs(), cpuUs(posthorn.pid ?? 0)];
    await publish(count);
    const seconds = ((await received) - startedAt) / 1e6;
    if (round === 0) continue;
    const result = results.get(name) ?? { us: [], perSecond: [] };
    results.set(name, result);
    result.us.push((cpuUs(posthorn.pid ?? 0) - cpuBefore) / count);
    result.perSecond.push(count / seconds);
  }
}

console.log(`${events} events of ${BODY_BYTES} bytes, ${rounds} rounds in turns, on ${machine()}`);
const bus = median(results.get("on the bus")?.us ?? []);
for (const [name, { us, perSecond }] of results) {
  const spread = `${Math.min(...us).toFixed(0)}–${Math.max(...us).toFixed(0)}`;
  console.log(
    `${name}: ${median(us).toFixed(0)} µs (${spread}) of Posthorn's CPU, ${(median(us) / bus).toFixed(2)} ×, ${median(perSecond).toFixed(0)}/s`,
  );
}
await pool.close();
await ended(posthorn);
await world.stop();
process.exit(0);
