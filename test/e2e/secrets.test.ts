/** Secrets are planted wherever there is one, and everything that leaves the process under load is searched for them. */
import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Redis } from "ioredis";
import { connect, type NatsConnection } from "nats";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startConnectProxy } from "../support/connect-proxy.ts";
import { eventually } from "../support/eventually.ts";
import { type PosthornProcess, startPosthorn } from "../support/posthorn.ts";
import { type ReceivedRequest, type Receiver, startReceiver } from "../support/receiver.ts";
import { type Server, startNatsServer, startRedisServer } from "../support/servers.ts";

const hex = (): string => randomBytes(32).toString("hex");
const SECRETS: Record<string, string> = {
  "the admin token": `admin-${hex()}`,
  "the read token": `read-${hex()}`,
  "a wrong token": `wrong-${hex()}`,
  "the encryption key": hex(),
  "the encryption key before": hex(),
  "the NATS password": `nats-${hex()}`,
  "the Redis password": `redis-${hex()}`,
  "the proxy's password": `proxy-${hex()}`,
  "a client secret": hex(),
  "a client secret of the apps file": hex(),
  "a client secret of the wrong form": `form-${hex()}`,
  "a custom header's value": `header-${hex()}`,
  "a password in a refused URL": `url-${hex()}`,
  "a token in a URL's query": `query/${hex()}+`,
  "a token in a URL's path": hex(),
};
/** Secrets that an app's record doesn't have as it was given. */
const NOT_OF_A_RECORD = Object.keys(SECRETS).filter((name) => !/custom header|URL's/.test(name));
const secret = (name: string): string => SECRETS[name] ?? "";

let nats: Server;
let redis: Server;
let receiver: Receiver;
let collector: Receiver;
let posthorn: PosthornProcess;
let bus: NatsConnection;
const folder = mkdtempSync(join(tmpdir(), "posthorn-secrets-"));
const cleanups: Array<() => unknown> = [];
/** What the API answered, but for the answers whose job is to show a secret. */
const answers: string[] = [];

const api = async (method: string, path: string, body?: unknown, token = secret("the admin token")) => {
  const answered = await posthorn.api(method, path, body, { authorization: `Bearer ${token}` });
  answers.push(JSON.stringify([...answered.headers]), JSON.stringify(answered.body));
  return answered;
};

let turn = 0;
/** Sends back whatever came, in body and headers, in every form. */
const echo = (status: number) => (request: ReceivedRequest, response: import("node:http").ServerResponse) => {
  response.writeHead(status, {
    "sentry-hook-error": `e-1 ${request.headers["x-credential"]}`,
    "sentry-hook-project": `p-1 ${request.path}`,
    "x-echo": String(request.headers["x-credential"]),
  });
  const { headers, path } = request;
  const forms = formsOf(String(headers["x-credential"])).concat(formsOf(secret("a client secret")).slice(1));
  // What is kept of a body is short: each answer has some of it.
  const said = [JSON.stringify({ headers }), JSON.stringify({ path, known: secret("a client secret") }), forms.join(" ")];
  response.end(said[turn++ % said.length]);
};

beforeAll(async () => {
  const appsFile = join(folder, "apps.yaml");
  [nats, redis, receiver, collector] = await Promise.all([
    startNatsServer({ config: `authorization { user: "posthorn", password: "${secret("the NATS password")}" }` }),
    startRedisServer({ arguments: ["--requirepass", secret("the Redis password")] }),
    startReceiver(),
    startReceiver(),
  ]);
  const proxy = await startConnectProxy(receiver.port);
  cleanups.push(proxy.stop);
  writeFileSync(
    appsFile,
    `apps:\n  - slug: from-file\n    webhook_url: ${receiver.url}\n    client_secret: ${secret("a client secret of the apps file")}\n`,
  );
  posthorn = await startPosthorn({
    nats,
    redis,
    settings: {
      POSTHORN_LOG_LEVEL: "trace",
      POSTHORN_NATS_URL: nats.url.replace("//", `//posthorn:${secret("the NATS password")}@`),
      POSTHORN_REDIS_URL: redis.url.replace("//", `//:${secret("the Redis password")}@`),
      POSTHORN_API_TOKENS: `admin:${secret("the admin token")},read:${secret("the read token")}`,
      POSTHORN_ENCRYPTION_KEY: `k2:${secret("the encryption key")}`,
      POSTHORN_ENCRYPTION_KEY_PREVIOUS: `k1:${secret("the encryption key before")}`,
      POSTHORN_TARGET_PROXY: proxy.url.replace("//", `//user:${secret("the proxy's password")}@`),
      POSTHORN_APPS_FILE: appsFile,
      POSTHORN_REQUEST_TIMEOUT: "300ms",
      POSTHORN_CIRCUIT_OPEN_TIME: "200ms",
      OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
      OTEL_BSP_SCHEDULE_DELAY: "100",
    },
  });
  bus = await connect({ servers: nats.url, user: "posthorn", pass: secret("the NATS password") });
});
afterAll(async () => {
  await bus.close();
  for (const cleanup of cleanups) await cleanup();
  await Promise.all([nats.stop(), redis.stop(), receiver.stop(), collector.stop()]);
  rmSync(folder, { recursive: true });
});

async function load(): Promise<void> {
  receiver.behave((request, response, socket) => {
    const [, kind = ""] = new URL(request.path, "http://x").pathname.split("/");
    if (kind === "reset") return void socket.resetAndDestroy();
    if (kind === "slow") return;
    return echo(({ fails: 500, gone: 410, refused: 400 } as Record<string, number>)[kind] ?? 200)(request, response);
  });
  const kinds = ["ok", "fails", "gone", "refused", "reset", "slow"];
  for (const kind of kinds) {
    await posthorn.api(
      "PUT",
      `/v1/apps/${kind}`,
      {
        webhook_url: `${receiver.url}/${kind}/${secret("a token in a URL's path")}?token=${encodeURIComponent(secret("a token in a URL's query"))}`,
        events: ["*"],
        headers: { "X-Credential": secret("a custom header's value"), Authorization: `Bearer ${secret("a custom header's value")}` },
        client_secret: secret("a client secret"),
        retry_schedule_s: [0.05],
      },
      { authorization: `Bearer ${secret("the admin token")}` },
    );
    await api("PUT", `/v1/installations/0f3c1d2e-5b6a-4c7d-8e9f-00000000000${kinds.indexOf(kind)}`, { app: kind, organization_id: "42" });
  }
  for (const kind of kinds) await api("PUT", `/v1/apps/${kind}/debug-log`, { for_s: 600 });
  const rotated = await posthorn.api("POST", "/v1/apps/ok/secret/rotate", undefined, {
    authorization: `Bearer ${secret("the admin token")}`,
  });
  SECRETS["a client secret that replaced another"] = rotated.body.client_secret as string;
  const made = await posthorn.api("POST", "/v1/apps/ok/tokens", undefined, { authorization: `Bearer ${secret("the admin token")}` });
  SECRETS["the token of an app"] = made.body.token as string;

  const jetStream = bus.jetstream();
  const subject = `${posthorn.prefix}.events.issue.created`;
  await Promise.all(
    Array.from({ length: 200 }, (_, n) => jetStream.publish(subject, JSON.stringify({ organization_id: "42", data: { n } }))),
  );
  await jetStream.publish(subject, "unreadable");

  // Mistakes, each with a secret in it.
  await api("GET", "/v1/apps", undefined, secret("a wrong token"));
  await api("GET", "/v1/apps/fails", undefined, secret("the token of an app"));
  await api("PUT", "/v1/apps/bad", { webhook_url: receiver.url, client_secret: secret("a client secret of the wrong form") });
  for (const url of [
    "http://user:PASSWORD@hooks.example/",
    "http:user:PASSWORD@127.0.0.1",
    "http://user:PASSWORD@[bad",
    "user:PASSWORD@x",
  ]) {
    await api("PUT", "/v1/apps/bad", { webhook_url: url.replace("PASSWORD", secret("a password in a refused URL")) });
  }
  for (const kind of kinds) await api("POST", `/v1/apps/${kind}/test`);
  for (const kind of kinds.slice(1)) {
    await eventually(async () => (await api("GET", `/v1/apps/${kind}/webhook-requests?errors_only=true`)).body.items.length > 0);
  }
  await eventually(async () => (await api("GET", "/v1/dead-letters?app=refused&limit=200")).body.items.length === 200);
  await eventually(async () => ((await api("GET", "/metrics")).body as string).includes('posthorn_messages_in_hand{stream="events"} 0'));
}

async function readEverything(): Promise<void> {
  for (const token of ["the admin token", "the read token"]) {
    for (const path of ["/v1/apps", "/v1/installations", "/v1/dead-letters", "/metrics", "/readyz", "/healthz", "/openapi.json"]) {
      await api("GET", path, undefined, secret(token));
    }
  }
  for (const app of ["ok", "fails", "gone", "refused", "reset", "slow", "from-file"]) {
    await api("GET", `/v1/apps/${app}/webhook-requests`);
  }
}

/** Every message of every stream, the registry among them, as text. */
async function streams(): Promise<string[]> {
  const manager = await bus.jetstreamManager();
  const texts: string[] = [];
  for await (const { config, state } of manager.streams.list()) {
    for (let seq = state.first_seq; seq <= state.last_seq; seq++) {
      const message = await manager.streams.getMessage(config.name, { seq }).catch(() => null);
      if (message !== null) texts.push(`${message.subject} ${message.string()}`);
    }
  }
  return texts;
}

async function redisContent(): Promise<string[]> {
  const client = new Redis(redis.url, { password: secret("the Redis password") });
  const texts: string[] = [];
  for (const key of await client.keys("*")) {
    texts.push(key, (await client.dump(key))?.toString() ?? "");
    if ((await client.type(key)) === "list") texts.push(...(await client.lrange(key, 0, -1)));
  }
  client.disconnect();
  return texts;
}

/** A secret as it is, and in the forms that it could come along in. */
const formsOf = (text: string): string[] => [
  text,
  text.toUpperCase(),
  text.replaceAll("/", "\\/"),
  [...text].map((character) => `&#${character.charCodeAt(0)};`).join(""),
  [...text].map((character) => `\\u00${character.charCodeAt(0).toString(16)}`).join(""),
  Buffer.from(text).toString("hex"),
  Buffer.from(`user:${text}`).toString("base64").replace(/=+$/, ""),
  Buffer.from(text).toString("base64").replace(/=+$/, ""),
  Buffer.from(text, "hex").toString("base64").replace(/=+$/, ""),
  encodeURIComponent(text),
];

const found = (texts: readonly string[], names = Object.keys(SECRETS)): string[] =>
  names.filter((name) => formsOf(secret(name)).some((form) => form.length > 8 && texts.some((text) => text.includes(form))));

describe("under load", () => {
  let log: string[];

  beforeAll(async () => {
    await load();
    await readEverything();
    await posthorn.end();
    log = [...posthorn.log.map((line) => JSON.stringify(line)), ...posthorn.errors];
  });

  test("the log has no secret", () => {
    expect(log.length).toBeGreaterThan(1_000);
    expect(found([...log, log.join("\n")])).toEqual([]);
  });

  test("traces have none either", () => {
    const spans = collector.requests.map(({ body }) => body.toString());
    expect(spans.join().length).toBeGreaterThan(10_000);
    expect(found(spans)).toEqual([]);
  });

  test("answers of the API have none, metrics and problems among them", () => {
    expect(answers.length).toBeGreaterThan(50);
    expect(found(answers, NOT_OF_A_RECORD)).toEqual([]);
    const withMore = answers.filter((text) => found([text]).length > 0);
    expect(withMore.every((text) => text.includes('"slug":') && text.includes('"headers":'))).toBe(true);
  });

  test("streams have none: status events, dead letters, streams, the registry", async () => {
    const texts = await streams();
    expect(texts.filter((text) => text.includes(".status.")).length).toBeGreaterThan(5);
    expect(found(texts, NOT_OF_A_RECORD)).toEqual([]);
    const elsewhere = texts.filter((text) => !text.startsWith("$KV."));
    expect(found(elsewhere)).toEqual([]);
  });

  test("Redis has none", async () => {
    const texts = await redisContent();
    expect(texts.filter((text) => text.includes('"response_body"')).length).toBeGreaterThan(20);
    expect(found(texts)).toEqual([]);
  });

  test("receivers get the custom header, and no other secret", () => {
    const texts = receiver.requests.map(({ headers, body }) => JSON.stringify(headers) + body.toString());
    expect(found(texts)).toEqual(["a custom header's value"]);
  });
});
