/**
 * The demo: two apps in two organizations, real payloads from NATS to their webhook URLs, the request log in Redis, one
 * trace from publisher to receiver, and a circuit that opens. Run it with `npm run demo`; `-- --keep` leaves it running.
 */
import { randomBytes } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { Redis } from "ioredis";
import { connect } from "nats";
import { createPublisher, type StatusEvent, subscribeStatus } from "../../src/client/client.ts";
import { startPosthorn } from "./posthorn.ts";
import { type Received, startReceiver } from "./receivers.ts";
import { bold, cell, cyan, dim, green, heading, red, say, yellow } from "./terminal.ts";

const keep = process.argv.includes("--keep");
const nats = process.env["POSTHORN_NATS_URL"] ?? "nats://127.0.0.1:4222";
const redisUrl = process.env["POSTHORN_REDIS_URL"] ?? "redis://127.0.0.1:6379";
const run = randomBytes(3).toString("hex");
const prefix = `demo-${run}`;
// On servers that others use as well the apps get names of their own, so that nobody's rows are touched.
const isShared = process.env["DEMO_SHARED"] !== undefined;
const TRACKER = isShared ? `tracker-${run}` : "tracker";
const PAGER = isShared ? `pager-${run}` : "pager";
const folder = process.env["DEMO_FOLDER"] ?? ".";
const PAYLOADS = new URL("../payloads/", import.meta.url);

const INSTALLATIONS = [
  { uuid: "5c7d9e10-3b2a-4f6e-8d1c-90a7b6e5f412", app: TRACKER, organization: "northwind" },
  { uuid: "b1f2a3c4-0d9e-4c8b-a7f6-25e4d3c2b1a0", app: TRACKER, organization: "contoso" },
  { uuid: "77e6d5c4-b3a2-4190-8f7e-6d5c4b3a2918", app: PAGER, organization: "northwind" },
  { uuid: "c0ffee00-1234-4abc-9def-0123456789ab", app: PAGER, organization: "contoso" },
] as const;
const APPS = [TRACKER, PAGER];

const cleanups: Array<() => Promise<unknown> | unknown> = [];
let cleaning: Promise<void> | undefined;
const cleanUp = (): Promise<void> => {
  cleaning ??= (async () => {
    for (const cleanup of [...cleanups].reverse()) await Promise.resolve(cleanup()).catch(() => {});
  })();
  return cleaning;
};
for (const signal of ["SIGINT", "SIGTERM"] as const) {
  process.on(signal, () => {
    say(`\n${dim("stopping and cleaning up …")}`);
    void cleanUp().then(() => process.exit(keep ? 0 : 130));
  });
}

const received: Received[] = [];
const eventNames = new Map<string, string>();
let isQuiet = false;
const show = (webhook: Received): void => {
  received.push(webhook);
  if (isQuiet) return;
  const isGood = webhook.answered < 300;
  say(
    `  ${cell("", 26)} ${dim("→")} ${cell(webhook.app, 8, cyan)} ${cell(webhook.event, 26)} ${cell(webhook.deliveryId, 18, dim)} ${
      isGood ? green(String(webhook.answered)) : red(String(webhook.answered))
    } ${webhook.verified ? dim("signature ok") : red("signature wrong")}`,
  );
};

async function until(check: () => boolean, timeoutMs: number): Promise<boolean> {
  const end = Date.now() + timeoutMs;
  while (!check()) {
    if (Date.now() > end) return false;
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
  return true;
}

function count(number: number, what: string): string {
  return `${number} ${what}${number === 1 ? "" : "s"}`;
}

function indented(value: unknown): string {
  return JSON.stringify(value, null, 2).replace(/^/gm, "    ");
}

async function main(): Promise<void> {
  say(`${bold("Posthorn demo")}  ${dim(`NATS ${nats}, Redis ${redisUrl}, prefix ${prefix}`)}`);

  const connection = await connect({ servers: nats });
  const redis = new Redis(redisUrl);
  cleanups.push(
    () => redis.disconnect(),
    () => connection.close(),
  );
  const posthorn = await startPosthorn(
    {
      POSTHORN_NATS_URL: nats,
      POSTHORN_REDIS_URL: redisUrl,
      POSTHORN_SUBJECT_PREFIX: prefix,
      POSTHORN_HTTP_PORT: "0",
      POSTHORN_TARGET_ALLOW: "127.0.0.0/8",
      // As short as a demo's patience; the default is 30 s.
      POSTHORN_CIRCUIT_OPEN_TIME: "2s",
    },
    join(folder, "posthorn.log"),
  );
  // Servers that are there already are left as they were found.
  cleanups.push(async () => {
    const manager = await connection.jetstreamManager();
    for await (const stream of manager.streams.list()) {
      const { name } = stream.config;
      if (name === `KV_${prefix}-registry` || name.startsWith(`${prefix}_`.toUpperCase().replaceAll("-", "_")))
        await manager.streams.delete(name);
    }
    const found = [...(await Promise.all(APPS.map((app) => redis.keys(`posthorn:*{${app}}*`)))).flat()];
    for (const { uuid } of INSTALLATIONS) found.push(...(await redis.keys(`posthorn:health:{${uuid}}:*`)));
    for (const id of new Set(received.map(({ deliveryId }) => deliveryId))) found.push(`posthorn:delivery:${id}`);
    if (found.length > 0) await redis.del(...found);
  }, posthorn.stop);
  say(`${green("ready")}  ${posthorn.url}  ${dim(`log ${posthorn.logFile}`)}`);

  heading("1. Two apps, installed in two organizations");
  const receivers = Object.fromEntries(await Promise.all(APPS.map(async (app) => [app, await startReceiver(app, show)] as const)));
  const tracker = receivers[TRACKER];
  const pager = receivers[PAGER];
  if (tracker === undefined || pager === undefined) throw new Error("no receivers");
  cleanups.push(tracker.stop, pager.stop);
  // Every third request fails, so that there is something to retry.
  pager.answer = (request) => (request % 3 === 0 ? 503 : 200);
  const subscriptions: Readonly<Record<string, readonly string[]>> = {
    [TRACKER]: ["issue", "comment", "error.created", "event_alert"],
    [PAGER]: ["issue.created", "metric_alert.*", "event_alert", "error"],
  };
  for (const app of APPS) {
    const receiver = receivers[app];
    const made = await posthorn.put(`/v1/apps/${app}`, {
      webhook_url: receiver?.url,
      events: subscriptions[app] ?? [],
      retry_schedule_s: [1, 2],
    });
    if (receiver !== undefined) receiver.secret = String(made["client_secret"]);
    say(`  ${cell(app, 8, cyan)} ${cell((subscriptions[app] ?? []).join(", "), 48)} ${dim(String(receiver?.url))}`);
  }
  for (const { uuid, app, organization } of INSTALLATIONS) {
    await posthorn.put(`/v1/installations/${uuid}`, { app, organization_id: organization });
    say(`  ${dim("installed")} ${cell(app, 8, cyan)} in ${cell(organization, 10)} ${dim(uuid)}`);
  }

  const statusEvents: StatusEvent[] = [];
  const subscription = await subscribeStatus({
    nats: connection,
    subjectPrefix: prefix,
    durable: "demo",
    startAt: "all",
    onEvent: (event) => void statusEvents.push(event),
  });
  cleanups.push(subscription.stop);

  heading("2. Events: published on NATS, delivered to each app that wants them");
  const publisher = await createPublisher({ nats: connection, subjectPrefix: prefix });
  const trace = randomBytes(16).toString("hex");
  const files = readdirSync(PAYLOADS).filter((file) => file.endsWith(".json"));
  for (const [at, file] of files.entries()) {
    const { data, actor } = JSON.parse(readFileSync(new URL(file, PAYLOADS), "utf8")) as { data: object; actor: object };
    const type = file.replace(".json", "");
    const organizationId = at % 3 === 2 ? "contoso" : "northwind";
    const published = await publisher.publish({
      type,
      organizationId,
      data,
      actor,
      ...(type.startsWith("installation.") ? { app: TRACKER } : {}),
      ...(type === "issue.created" ? { traceparent: `00-${trace}-${randomBytes(8).toString("hex")}-01` } : {}),
    });
    eventNames.set(published.id, type);
    say(`  ${cell(type, 26, bold)} ${dim(`${organizationId}, stream sequence ${published.sequence}`)}`);
    await new Promise((resolve) => setTimeout(resolve, 120));
  }
  const failedFirst = new Set(received.filter(({ answered }) => answered >= 300).map(({ deliveryId }) => deliveryId));
  say(dim(`  … waiting for the retries of ${failedFirst.size} failed ${failedFirst.size === 1 ? "delivery" : "deliveries"}`));
  const isDelivered = (id: string): boolean => received.some(({ deliveryId, answered }) => deliveryId === id && answered < 300);
  if (!(await until(() => [...failedFirst].every(isDelivered), 15_000))) throw new Error("the retries did not arrive");

  const rowsOf = async (kind: string): Promise<number> => {
    const keys = (await Promise.all(APPS.map((app) => redis.keys(`posthorn:${kind}:{${app}}:*`)))).flat();
    return (await Promise.all(keys.map((key) => redis.llen(key)))).reduce((sum, length) => sum + length, 0);
  };
  // Rows are written some milliseconds behind the attempts.
  for (let tries = 0; (await rowsOf("request")) < received.length && tries < 100; tries++) {
    await new Promise((resolve) => setTimeout(resolve, 25));
  }

  heading("3. The request log and the error log, as Redis holds them");
  for (const app of APPS) {
    for (const kind of ["request", "error"] as const) {
      const keys = (await redis.keys(`posthorn:${kind}:{${app}}:*`)).sort();
      for (const key of keys.slice(0, 4)) {
        const rows = await redis.lrange(key, 0, 1);
        say(`  ${cell(key, 48, cyan)} ${dim(count(await redis.llen(key), "row"))}`);
        for (const text of rows) {
          const row = JSON.parse(text) as Record<string, unknown>;
          const outcome = String(row["outcome"]);
          say(
            `    attempt ${row["attempt"]}  ${cell(outcome, 10, outcome === "delivered" ? green : red)} ${row["response_code"]}  ${row["duration_ms"]} ms  ${dim(String(row["delivery_id"]))}`,
          );
        }
      }
    }
  }

  heading("4. One trace, from the publisher to the receiver");
  say(`  published with trace id   ${yellow(trace)}   (traceparent header of the NATS message)`);
  const arrived = received.filter(({ traceparent }) => traceparent.includes(trace));
  for (const { app, traceparent } of arrived) say(`  ${cell(app, 8, cyan)} received          ${traceparent.replace(trace, yellow(trace))}`);
  const [row] = await redis.lrange(`posthorn:request:{${TRACKER}}:issue.created`, 0, 0);
  say(`  log row of tracker        ${yellow(String((JSON.parse(row ?? "{}") as Record<string, unknown>)["trace_id"]))}   (trace_id)`);
  if (arrived.length === 0) throw new Error("the trace did not reach a receiver");

  heading("5. An app goes down: its circuit opens, and a status event says so");
  isQuiet = true;
  pager.answer = () => 500;
  const before = received.length;
  for (let i = 0; i < 40; i++)
    await publisher.publish({ type: "issue.created", organizationId: "northwind", app: PAGER, data: { issue: { id: String(i) } } });
  const told = (type: string): StatusEvent | undefined => statusEvents.find((event) => event.type === type);
  if (!(await until(() => told("circuit.opened") !== undefined, 15_000))) throw new Error("no circuit.opened event came");
  say(
    `  40 events published; ${red(`${received.length - before} attempts`)} were under way or answered with 500 when this came on the status stream:`,
  );
  say(dim(indented(told("circuit.opened"))));
  say(`  Deliveries that are not attempted now wait in the parked stream, ${cyan(`${prefix}.parked.${PAGER}`)}. The app is fixed …`);
  pager.answer = () => 200;
  if (!(await until(() => told("circuit.closed") !== undefined, 20_000))) throw new Error("no circuit.closed event came");
  const delivered = (): number =>
    new Set(
      received
        .slice(before)
        .filter(({ answered }) => answered < 300)
        .map(({ deliveryId }) => deliveryId),
    ).size;
  if (!(await until(() => delivered() === 40, 20_000))) throw new Error(`only ${delivered()} of 40 deliveries arrived`);
  say(`  ${green("circuit.closed")}: a probe succeeded, and all ${green("40 of 40")} have arrived.`);

  heading("Three things to try next");
  if (keep) {
    say(`  1. Ask why a webhook failed:  curl '${posthorn.url}/v1/apps/${PAGER}/webhook-requests?errors_only=true'`);
    say(`  2. Publish an event yourself: curl -X POST ${posthorn.url}/v1/events -H 'content-type: application/json' \\`);
    say(`       -d '{"type":"issue.created","organization_id":"northwind","data":{"issue":{"id":"1"}}}'`);
    say(`  3. See what stands where:     curl ${posthorn.url}/readyz; curl -s ${posthorn.url}/metrics | grep posthorn_`);
    say(`\n${dim(`running; NATS ${nats}, Redis ${redisUrl}, log ${posthorn.logFile}; Ctrl-C ends it and cleans up`)}`);
    setInterval(() => {}, 60_000);
    return;
  }
  say("  1. npm run demo -- --keep     leaves all of this running, with the calls to make");
  say("  2. README.md                  your own app in five minutes");
  say("  3. docs/bus.md                publish events and follow status events from your services");
  await cleanUp();
  process.exit(0);
}

main().catch(async (error: unknown) => {
  process.stderr.write(`\n${red("the demo failed:")} ${error instanceof Error ? error.message : String(error)}\n`);
  await cleanUp();
  process.exit(1);
});
