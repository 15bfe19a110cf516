/**
 * The floor: the least that does the same I/O as Posthorn, as fast as these libraries go. Consume, build and sign the body,
 * POST it, write a log row and a mark in batches, acknowledge in groups. No routing, retries, admission, log line or metrics.
 */
import { createHmac, createSecretKey, hash, randomBytes } from "node:crypto";
import { Redis } from "ioredis";
import { connect, type JsMsg, type NatsConnection } from "nats";
import { type Dispatcher, Pool } from "undici";
import type { FloorSettings } from "../support/contenders.ts";
import { settingsSent } from "../support/settings-sent.ts";

const { natsUrl, redisUrl, stream, urls, fanOut } = (await settingsSent()) as FloorSettings;
const IN_FLIGHT = 256;
const CONNECTIONS_PER_ORIGIN = 16;
const COLLECT_MS = 5;
const SCRIPT = `
for i = 1, tonumber(ARGV[1]) do
  redis.call('LPUSH', KEYS[i], ARGV[i + 1])
  redis.call('LTRIM', KEYS[i], 0, 99)
end
for i = tonumber(ARGV[1]) + 1, #KEYS do redis.call('SET', KEYS[i], 'delivered', 'EX', 691200) end
`;

const ACK = Buffer.from("+ACK");
const key = createSecretKey("ab".repeat(32), "utf8");
const pools = urls.map((url) => new Pool(new URL(url).origin, { connections: CONNECTIONS_PER_ORIGIN, pipelining: 1 }));
const redis = new Redis(redisUrl);
redis.defineCommand("write", { lua: SCRIPT });
const nats: NatsConnection = await connect({ servers: natsUrl });
let count = 0;

let rows = new Map<string, string[]>();
let marks: string[] = [];
function record(destination: number, id: string, row: string): void {
  if (marks.length === 0) setTimeout(write, COLLECT_MS);
  marks.push(`posthorn:delivery:{app-${destination}}:${id}`);
  const list = `posthorn:request:{app-${destination}}:issue.created`;
  const before = rows.get(list);
  if (before === undefined) rows.set(list, [row]);
  else before.push(row);
}
function write(): void {
  const lists = [...rows].flatMap(([list, of]) => of.slice(-100).map((row) => [list, row] as const));
  const keys = [...lists.map(([list]) => list), ...marks];
  rows = new Map();
  marks = [];
  const { write: call } = redis as unknown as { write(...args: unknown[]): Promise<unknown> };
  void call.call(redis, keys.length, ...keys, lists.length, ...lists.map(([, row]) => row));
}

let acks: string[] = [];
function acknowledge(reply: string): void {
  if (acks.push(reply) > 1) return;
  setImmediate(() => {
    for (const one of acks) nats.publish(one, ACK);
    acks = [];
  });
}

class Exchange implements Dispatcher.DispatchHandler {
  private readonly done: () => void;
  constructor(done: () => void) {
    this.done = done;
  }
  onRequestStart(): void {}
  onResponseStart(): void {}
  onResponseData(): void {}
  onResponseEnd(): void {
    this.done();
  }
  onResponseError(_: unknown, error: Error): void {
    throw error;
  }
}

function deliver(eventId: string, data: string, destination: number, done: () => void): void {
  const uuid = `00000000-0000-4000-8000-${String(destination).padStart(12, "0")}`;
  const id = `dlv_${hash("sha256", `${eventId}:${uuid}`, "hex").slice(0, 32)}`;
  const body = Buffer.from(`{"action":"created","installation":{"uuid":"${uuid}"},"data":${data},"actor":{"type":"application"}}`);
  const timestamp = String(Math.floor(Date.now() / 1000));
  const headers = {
    "Content-Type": "application/json",
    "User-Agent": "Floor/1",
    "Request-ID": randomBytes(16).toString("hex"),
    "Sentry-Hook-Resource": "issue",
    "Sentry-Hook-Timestamp": timestamp,
    "Sentry-Hook-Signature": createHmac("sha256", key).update(body).digest("hex"),
    "webhook-id": id,
    "webhook-timestamp": timestamp,
    "webhook-signature": `v1,${createHmac("sha256", key).update(`${id}.${timestamp}.`).update(body).digest("base64")}`,
  };
  const handler = new Exchange(() => {
    record(destination, id, `{"delivery_id":"${id}","event_id":"${eventId}","response_code":200}`);
    done();
  });
  pools[destination]?.dispatch({ path: "/webhooks", method: "POST", headers, body }, handler);
}

function handle(message: JsMsg): void {
  const text = message.string();
  const data = text.slice(text.indexOf('"data":') + 7, -1);
  let left = fanOut;
  const first = count++ * fanOut;
  for (let at = 0; at < fanOut; at++) {
    deliver(`${stream}:${message.seq}`, data, (first + at) % urls.length, () => {
      if (--left === 0) acknowledge((message as JsMsg & { readonly reply: string }).reply);
    });
  }
}

const consumer = await nats.jetstream().consumers.get(stream, "floor");
await consumer.consume({ max_messages: Math.max(2, Math.ceil(IN_FLIGHT / fanOut)), callback: handle });
process.send?.("ready");
for (const end of ["disconnect", "SIGTERM"]) process.on(end, () => process.exit(0));
