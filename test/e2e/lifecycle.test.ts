/** How the process starts, stops and says what is wrong. */
import { spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { fileURLToPath } from "node:url";
import { Redis } from "ioredis";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createSubjects } from "../../src/jetstream/subjects.ts";
import { eventually } from "../support/eventually.ts";
import { connectBus, failToStartHere, startPosthorn, startPosthornHere } from "../support/posthorn.ts";
import { answer, startReceiver } from "../support/receiver.ts";
import { freePort, plainEnvironment, type Server, startNatsServer, startRedisServer } from "../support/servers.ts";

let nats: Server;
let redis: Server;

beforeAll(async () => {
  [nats, redis] = await Promise.all([startNatsServer(), startRedisServer()]);
});
afterAll(async () => {
  await Promise.all([nats.stop(), redis.stop()]);
});

describe.concurrent("a start", () => {
  // Their time-out is five seconds, so that a slow machine has begun to wait by then.
  test.each(["POSTHORN_NATS_URL", "POSTHORN_REDIS_URL"])(
    "without a server behind %s waits, says so and gives up after a setting",
    async (name) => {
      const scheme = name.includes("NATS") ? "nats" : "redis";
      const url = `${scheme}://127.0.0.1:${await freePort()}`;
      const { log, fault } = await failToStartHere({ nats, redis, settings: { [name]: url, POSTHORN_STARTUP_TIMEOUT: "5s" } });
      expect(log.map(({ message }) => message)).toContain(scheme === "nats" ? "waiting for NATS" : "waiting for Redis");
      expect(fault).toMatchObject({
        retryable: true,
        message: expect.stringMatching(new RegExp(`^${name}: no .* answered at ${url}.* within 5000 ms`)),
      });
    },
  );

  test("with wrong settings prints every problem and exits with 78", async () => {
    const posthorn = await startPosthorn({
      nats,
      redis,
      waitForReady: false,
      settings: { POSTHORN_REQUEST_TIMEOUT: "ten", POSTHORN_LOG_LEVL: "debug" },
    });
    expect(await posthorn.end("SIGCONT")).toBe(78);
    expect(posthorn.errors.join("\n")).toBe(
      [
        "Posthorn can't start with these settings:",
        "  POSTHORN_LOG_LEVL: no such setting, did you mean POSTHORN_LOG_LEVEL?",
        '  POSTHORN_REQUEST_TIMEOUT: found "ten", wanted a duration such as 250ms, 10s, 5m, 2h or 30d',
      ].join("\n"),
    );
    expect(posthorn.log).toEqual([]);
  });

  test("on a port that is taken says which setting that is", async () => {
    const taken = await startReceiver(() => {});
    const settings = { POSTHORN_HTTP_PORT: new URL(taken.url).port };
    const posthorn = await startPosthorn({ nats, redis, waitForReady: false, settings });
    expect(await posthorn.end("SIGCONT")).toBe(1);
    expect(posthorn.log.at(-1)).toMatchObject({
      ...{ level: "fatal", message: "start failed", code: "HTTP_UNAVAILABLE" },
      error: expect.stringMatching(/^POSTHORN_HTTP_HOST and POSTHORN_HTTP_PORT: found .* wanted an address to listen on .*EADDRINUSE/),
    });
    await taken.stop();
  });

  test("on a stream that it can't work with says which setting, and exits with 78", async () => {
    const prefix = `t-${randomUUID().slice(0, 8)}`;
    const bus = await connectBus(nats, prefix);
    const manager = await bus.connection.jetstreamManager();
    const name = `${prefix}_RETRIES`.toUpperCase().replaceAll("-", "_");
    await manager.streams.add({ name, subjects: [`${prefix}.retries.*.*`] });
    const posthorn = await startPosthorn({ nats, redis, prefix, waitForReady: false });
    expect(await posthorn.end("SIGCONT")).toBe(78);
    expect(posthorn.log.at(-1)).toMatchObject({
      code: "STREAM_MISMATCH",
      error: expect.stringContaining(`stream ${name}: retention: found "limits", wanted "workqueue"`),
    });
    await bus.close();
  });

  test("with an apps file that has a mistake names the entry", async () => {
    const { fault } = await failToStartHere({ nats, redis, settings: { POSTHORN_APPS_FILE: "package.json" } });
    expect(fault).toMatchObject({
      ...{ code: "APPS_FILE_INVALID", retryable: false },
      message: expect.stringMatching(/package\.json:\n.*"version"/),
    });
  });
});

describe.concurrent("readiness", () => {
  test("says no while NATS takes too small messages, and events wait until it takes larger ones", async () => {
    // The server reads it at each of its starts.
    const environment = { MAX_PAYLOAD: "1048576" };
    const [receiver, ownNats] = await Promise.all([startReceiver(), startNatsServer({ config: "max_payload: $MAX_PAYLOAD", environment })]);
    const posthorn = await startPosthornHere({ nats: ownNats, redis });
    await posthorn.install({ webhook_url: receiver.url });
    const failing = await startReceiver(answer(500));
    await posthorn.install({ webhook_url: failing.url, organization_id: "43", ordered: true, retry_schedule_s: [2, 3_600] });
    const check = async () => (await posthorn.api("GET", "/readyz")).body.checks.nats as { ok: boolean; detail: string };
    const usable = async (): Promise<string | undefined> =>
      /^posthorn_dependency_up\{dependency="nats"\} (\d)$/m.exec(String((await posthorn.api("GET", "/metrics")).body))?.[1];
    expect([(await check()).ok, await usable()]).toEqual([true, "1"]);
    const earlier = await connectBus(ownNats, posthorn.prefix);
    // Its retry could not be stored again after the restart.
    await earlier.publish("issue.created", { id: "large", organization_id: "43", data: { text: "x".repeat(40_000) } });
    await earlier.close();
    const [{ receivedAt: failedAt } = { receivedAt: 0 }] = await failing.waitFor(1);

    environment.MAX_PAYLOAD = "32768";
    await ownNats.restart();
    const problem = `max_payload of the server at 127.0.0.1:${ownNats.port}: found 32768, wanted 65536 or more`;
    await eventually(async () => expect(await check()).toEqual({ ok: false, required: true, detail: problem }));
    expect(await usable()).toBe("0");
    expect(posthorn.log).toContainEqual(expect.objectContaining({ level: "error", message: "NATS can't be used", problem }));
    const bus = await connectBus(ownNats, posthorn.prefix);
    const { streams } = createSubjects(posthorn.prefix);
    const looks = bus.connection.subscribe(`$JS.API.CONSUMER.INFO.${streams.events}.posthorn-events`, { max: 3 });
    await bus.publish("issue.created", { id: "waits", organization_id: "42", data: {} });
    // By then the event would have been pulled.
    for await (const _ of looks);
    await bus.close();
    // The retry is due by Posthorn's clock.
    await eventually(() => Date.now() > failedAt + 3_000);
    expect([receiver.requests.length, failing.requests.length]).toEqual([0, 1]);

    failing.behave(answer(200));
    environment.MAX_PAYLOAD = "1048576";
    await ownNats.restart();
    await Promise.all([receiver.waitFor(1), failing.waitFor(2)]);
    expect([await check(), await usable()]).toEqual([{ ok: true, required: true, detail: "connected" }, "1"]);
    expect((await posthorn.api("GET", "/v1/dead-letters")).body.items).toEqual([]);
    expect(await posthorn.end()).toBe(0);
    await Promise.all([receiver.stop(), failing.stop(), ownNats.stop()]);
  });

  test("says no while NATS is down and yes when it is back; Redis is not needed for it", async () => {
    const [ownNats, ownRedis] = await Promise.all([startNatsServer(), startRedisServer()]);
    const posthorn = await startPosthornHere({ nats: ownNats, redis: ownRedis });
    const ready = async () => {
      const { status, body } = await posthorn.api("GET", "/readyz");
      return { status, nats: body.checks.nats.ok as boolean, redis: body.checks.redis.ok as boolean };
    };
    expect(await ready()).toEqual({ status: 200, nats: true, redis: true });
    await ownRedis.kill();
    await eventually(async () => !(await ready()).redis);
    expect((await ready()).status).toBe(200);
    await ownNats.kill();
    await eventually(async () => (await ready()).status === 503);
    expect((await posthorn.api("GET", "/healthz")).status).toBe(200);
    await Promise.all([ownNats.restart(), ownRedis.restart()]);
    await eventually(async () => (await ready()).status === 200 && (await ready()).redis);
    expect(await posthorn.end()).toBe(0);
    await Promise.all([ownNats.stop(), ownRedis.stop()]);
  });
});

describe.concurrent("a change of the encryption key", () => {
  const [k1, k2] = [`k1:${"a1".repeat(32)}`, `k2:${"b2".repeat(32)}`];
  const prefix = `t-${randomUUID().slice(0, 8)}`;
  const withKeys = (settings: Record<string, string>) => ({ nats, redis, prefix, settings });
  const reEncrypt = async (keys: Record<string, string>) => {
    const posthorn = await startPosthorn({ ...withKeys(keys), command: "re-encrypt", waitForReady: false });
    return { code: await posthorn.end("SIGCONT"), last: posthorn.log.at(-1), errors: posthorn.errors.join("\n") };
  };

  test("goes over previous keys and posthorn re-encrypt; without them nothing starts and nothing is lost", async () => {
    const receiver = await startReceiver();
    const first = await startPosthornHere(withKeys({ POSTHORN_ENCRYPTION_KEY: k1 }));
    await first.api("PUT", "/v1/apps/acme", { webhook_url: receiver.url, events: ["*"] });
    await first.api("PUT", `/v1/installations/${randomUUID()}`, { app: "acme", organization_id: "42" });
    expect(await first.end()).toBe(0);

    for (const [keys, wanted] of [
      [{ POSTHORN_ENCRYPTION_KEY: k2 }, "wanted key k2 of POSTHORN_ENCRYPTION_KEY"],
      [{}, "POSTHORN_ENCRYPTION_KEY is not set"],
    ] as const) {
      expect((await failToStartHere(withKeys(keys))).fault).toMatchObject({
        ...{ code: "SECRET_UNREADABLE", retryable: false },
        message: expect.stringContaining(`the client secret of app acme: found it encrypted with key k1, ${wanted}`),
      });
    }
    const wrong = await reEncrypt({ POSTHORN_ENCRYPTION_KEY: k2 });
    expect([wrong.code, wrong.errors]).toEqual([78, expect.stringContaining("app acme: found it encrypted with key k1, wanted key k2")]);

    const both = { POSTHORN_ENCRYPTION_KEY: k2, POSTHORN_ENCRYPTION_KEY_PREVIOUS: k1 };
    for (const changed of [1, 0]) {
      const { code, last } = await reEncrypt(both);
      expect([code, last]).toEqual([0, expect.objectContaining({ records: 1, changed, key: "k2" })]);
    }
    const last = await startPosthornHere(withKeys({ POSTHORN_ENCRYPTION_KEY: k2 }));
    const { body } = await last.api("GET", "/v1/audit?who=posthorn%20re-encrypt");
    expect(body.items).toMatchObject([{ action: "reEncryptSecrets", app: null, before: null, after: { records: 1, key: "k2" } }]);
    const bus = await connectBus(nats, prefix);
    await bus.publish("issue.created", { organization_id: "42", data: {} });
    await receiver.waitFor(1);

    // A replica with a key that this one does not have comes too early: this one goes on with what it could read last.
    const bucket = await bus.jetStream.views.kv(`${prefix}-registry`);
    const record = (await bucket.get("app.acme"))?.string() ?? "";
    await bucket.put("app.acme", record.replace("enc:v1:k2:", "enc:v1:k3:"));
    await eventually(async () => (await last.api("GET", "/readyz")).body.checks.records.ok === false);
    expect((await last.api("GET", "/readyz")).status).toBe(200);
    await bus.publish("issue.created", { organization_id: "42", data: { n: 2 } });
    await receiver.waitFor(2);
    await bucket.put("app.acme", record);
    await eventually(async () => (await last.api("GET", "/readyz")).body.checks.records.ok);
    expect(await last.end()).toBe(0);
    await bus.close();
    await receiver.stop();
  });
});

describe.concurrent("SIGTERM", () => {
  test("finishes what is in flight, writes its rows and exits with 0; the next process delivers the rest, nothing twice", async () => {
    const prefix = `t-${randomUUID().slice(0, 8)}`;
    // More than forty are not answered before the stop has begun.
    const held: Array<() => void> = [];
    let isStopping = false;
    const receiver = await startReceiver((_request, response) => {
      const end = () => void response.end("ok");
      if (isStopping || receiver.requests.length <= 40) setTimeout(end, 30);
      else held.push(end);
    });
    const first = await startPosthorn({ nats, redis, prefix });
    const bus = await connectBus(nats, prefix);
    const { slug } = await first.install({ webhook_url: receiver.url, max_in_flight: 8 });
    const count = 150;
    await Promise.all(Array.from({ length: count }, (_, n) => bus.publish("issue.created", { organization_id: "42", data: { n } })));
    await receiver.waitFor(20);
    const ended = first.end();
    await eventually(() => first.log.some(({ message }) => message === "stopping"));
    isStopping = true;
    for (const end of held) end();
    expect(await ended).toBe(0);
    expect(first.log.map(({ message }) => message)).toContain("stopped");
    const afterFirst = receiver.requests.length;
    expect(afterFirst).toBeLessThan(count);
    const client = new Redis(redis.url);
    expect(await client.llen(`posthorn:request:{${slug}}:issue.created`)).toBe(Math.min(100, afterFirst));
    client.disconnect();

    const second = await startPosthornHere({ nats, redis, prefix });
    await receiver.waitFor(count);
    await eventually(async () => (await second.api("GET", "/metrics")).body.includes('posthorn_messages_in_hand{stream="parked"} 0'));
    expect(receiver.requests.length).toBe(count);
    expect(new Set(receiver.requests.map((request) => request.json().data["n"])).size).toBe(count);
    const code = await second.end();
    expect(
      code,
      second.log
        .slice(-10)
        .map((line) => JSON.stringify(line))
        .join("\n"),
    ).toBe(0);
    await bus.close();
    await receiver.stop();
  });

  test("gives up on what hangs after POSTHORN_DRAIN_TIMEOUT, and says so", async () => {
    const receiver = await startReceiver(() => {});
    const posthorn = await startPosthorn({ nats, redis, settings: { POSTHORN_DRAIN_TIMEOUT: "500ms" } });
    const bus = await connectBus(nats, posthorn.prefix);
    await posthorn.install({ webhook_url: receiver.url });
    await bus.publish("issue.created", { organization_id: "42", data: {} });
    await receiver.waitFor(1);
    expect(await posthorn.end()).toBe(1);
    expect(posthorn.log.map(({ message }) => message)).toContainEqual(expect.stringMatching(/^POSTHORN_DRAIN_TIMEOUT is over/));
    await bus.close();
    await receiver.stop();
  });

  test("a second time exits at once", async () => {
    const receiver = await startReceiver(() => {});
    const posthorn = await startPosthorn({ nats, redis });
    const bus = await connectBus(nats, posthorn.prefix);
    await posthorn.install({ webhook_url: receiver.url });
    await bus.publish("issue.created", { organization_id: "42", data: {} });
    await receiver.waitFor(1);
    const ended = posthorn.end("SIGTERM");
    await eventually(() => posthorn.log.some(({ message }) => message === "stopping"));
    posthorn.child.kill("SIGINT");
    expect(await ended).toBe(1);
    await bus.close();
    await receiver.stop();
  });

  test("before anything is started ends it", async () => {
    // As a signal that arrives while modules are loaded.
    const signalled = `process.once("newListener", (event) => queueMicrotask(() => process.emit(event, event)));`;
    const settings = { NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(signalled)}` };
    const posthorn = await startPosthorn({ nats, redis, waitForReady: false, settings });
    expect(await posthorn.end("SIGCONT")).toBe(0);
    expect(posthorn.log).toEqual([]);
  });

  test("while modules keep the event loop busy ends it", async () => {
    const signalled = `
      import { registerHooks } from "node:module";
      registerHooks({
        load(url, context, next) {
          const loaded = next(url, context);
          return url.endsWith("/chunks/service.js") ? { ...loaded, source: "process.kill(process.pid, 'SIGTERM');" + loaded.source } : loaded;
        },
      });`;
    const settings = { NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(signalled)}` };
    const posthorn = await startPosthorn({ nats, redis, waitForReady: false, settings });
    expect(await posthorn.end("SIGCONT")).toBe(0);
  });

  test("while it waits for NATS ends it", async () => {
    const posthorn = await startPosthorn({
      nats: { url: `nats://127.0.0.1:${await freePort()}` },
      redis,
      waitForReady: false,
      settings: { POSTHORN_STARTUP_TIMEOUT: "30s" },
    });
    await eventually(() => posthorn.log.some(({ message }) => message === "waiting for NATS"));
    expect(await posthorn.end()).toBe(0);
  });
});

test.concurrent.each(["SIGTERM", "SIGINT"] as const)("npm start hands %s on, and ends as PosthornProcess does", async (signal) => {
  const root = fileURLToPath(new URL("../..", import.meta.url));
  const env = {
    ...plainEnvironment(),
    POSTHORN_NATS_URL: nats.url,
    POSTHORN_REDIS_URL: redis.url,
    POSTHORN_SUBJECT_PREFIX: `t-${randomUUID().slice(0, 8)}`,
    POSTHORN_HTTP_PORT: "0",
  };
  const child = spawn("npm", ["start", "--silent"], { cwd: root, stdio: ["ignore", "pipe", "inherit"], env, detached: true });
  let output = "";
  child.stdout.on("data", (chunk: Buffer) => {
    output += chunk.toString();
  });
  const ended = new Promise((resolve) => child.once("close", resolve));
  await eventually(() => output.includes('"Posthorn is ready"') || child.exitCode !== null);
  expect([child.exitCode, output]).toEqual([null, expect.stringContaining('"Posthorn is ready"')]);
  // As a supervisor does: only npm gets it.
  child.kill(signal);
  await ended;
  expect(output).toContain('"message":"stopped"');
});
