/** The log of a running Posthorn: no secret in it, whatever is asked of it, and detail for one app while it runs. */
import { randomUUID } from "node:crypto";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { eventually } from "../support/eventually.ts";
import { startOtlpCollector } from "../support/otlp-collector.ts";
import { type Bus, connectBus, type Posthorn, startPosthorn, startPosthornHere } from "../support/posthorn.ts";
import { answer, type Receiver, startReceiver } from "../support/receiver.ts";
import { type Server, startNatsServer, startRedisServer } from "../support/servers.ts";

let nats: Server;
let redis: Server;
let receiver: Receiver;
let ends: Array<() => Promise<unknown>> = [];

beforeAll(async () => {
  [nats, redis, receiver] = await Promise.all([startNatsServer(), startRedisServer(), startReceiver()]);
});
afterAll(async () => {
  await Promise.all([nats.stop(), redis.stop(), receiver.stop()]);
});
afterEach(async () => {
  for (const end of ends.reverse()) await end();
  ends = [];
});

const attemptsOf = (posthorn: Posthorn, slug: string) =>
  posthorn.log.filter(({ message, app }) => message === "delivery.attempted" && app === slug);

describe("nothing secret is logged", () => {
  test("by log, metrics or spans, with all detail on and everything failing", async () => {
    const planted = {
      adminToken: "PLANTED-admin-token",
      readToken: "PLANTED-read-token",
      redisPassword: "PLANTED-redis-password",
      natsPassword: "PLANTED-nats-password",
      encryptionKey: "c0ffee".repeat(11).slice(0, 64),
      urlToken: "PLANTED-url-token",
      header: "PLANTED-header-value",
      clientSecret: "deadbeef".repeat(8),
      wrongToken: "PLANTED-wrong-token",
      otelPassword: "PLANTED-otel-password",
      otelKey: "PLANTED-otel-key",
      otelHeader: "PLANTED-otel-header",
    };
    const [lockedNats, lockedRedis, collector] = await Promise.all([
      startNatsServer({ config: `authorization { user: posthorn, password: ${planted.natsPassword} }` }),
      startRedisServer({ arguments: ["--requirepass", planted.redisPassword] }),
      startOtlpCollector(),
    ]);
    // Echoes all that it got, in the body, in headers and in the status text.
    const echo = await startReceiver((request, response) => {
      const text = JSON.stringify({ url: request.path, headers: request.headers, body: request.body.toString() });
      response
        .writeHead(503, "PLANTED-header-value", { "sentry-hook-error": planted.header, "sentry-hook-project": planted.urlToken })
        .end(text);
    });
    const withUser = { url: lockedNats.url.replace("://", `://posthorn:${planted.natsPassword}@`) };
    const posthorn = await startPosthorn({
      nats: withUser,
      redis: { url: lockedRedis.url.replace("://", `://:${planted.redisPassword}@`) },
      settings: {
        POSTHORN_LOG_LEVEL: "trace",
        POSTHORN_API_TOKENS: `admin:${planted.adminToken},read:${planted.readToken}`,
        POSTHORN_ENCRYPTION_KEY: planted.encryptionKey,
        POSTHORN_CIRCUIT_MIN_ATTEMPTS: "3",
        POSTHORN_DRAIN_TIMEOUT: "1s",
        OTEL_EXPORTER_OTLP_ENDPOINT: `${collector.url.replace("://", `://otel:${planted.otelPassword}@`)}/?key=${planted.otelKey}`,
        OTEL_EXPORTER_OTLP_HEADERS: `authorization=Bearer%20${planted.otelHeader}`,
        OTEL_BSP_SCHEDULE_DELAY: "50",
        OTEL_METRIC_EXPORT_INTERVAL: "100",
        OTEL_METRIC_EXPORT_TIMEOUT: "100",
      },
    });
    ends = [lockedNats.stop, lockedRedis.stop, collector.stop, echo.stop, () => posthorn.end("SIGKILL")];
    const admin = { authorization: `Bearer ${planted.adminToken}` };
    const publish = () => posthorn.api("POST", "/v1/events", { type: "issue.created", organization_id: "42", data: {} }, admin);
    const app = {
      webhook_url: `${echo.url}/in?token=${planted.urlToken}`,
      events: ["*"],
      headers: { Authorization: `Bearer ${planted.header}`, "X-Key": planted.header },
      client_secret: planted.clientSecret,
      retry_schedule_s: [0.2],
    };
    const uuid = randomUUID();
    await posthorn.api("PUT", "/v1/apps/planted", app, admin);
    await posthorn.api("PUT", `/v1/installations/${uuid}`, { app: "planted", organization_id: "42" }, admin);
    await posthorn.api("PUT", "/v1/apps/planted/debug-log", { for_s: 60 }, admin);
    const { body: rotated } = await posthorn.api("POST", "/v1/apps/planted/secret/rotate", undefined, admin);
    const secrets = [...Object.values(planted), rotated.client_secret as string];

    // Calls that are refused, with secrets in the wrong places.
    await posthorn.api("GET", "/v1/apps", undefined, { authorization: `Bearer ${planted.wrongToken}` });
    await posthorn.api("PUT", "/v1/apps/planted", { ...app, client_secret: `${planted.clientSecret}x` }, admin);
    await posthorn.api("PUT", "/v1/apps/planted", `{"client_secret":"${planted.clientSecret}",}`, admin);
    await posthorn.api("PUT", "/v1/apps/planted", { ...app, webhook_url: `http://u:${planted.header}@127.0.0.1/` }, admin);
    await posthorn.api("GET", `/v1/apps/planted?token=${planted.urlToken}`, undefined, admin);
    await publish();
    await eventually(() => posthorn.log.some(({ message, stream }) => message === "delivery.stored" && stream === "dead-letters"));
    for (let i = 0; i < 5; i++) await publish();
    await eventually(() => posthorn.log.some(({ message, detail }) => message === "delivery.stored" && detail === "circuit"));
    await lockedRedis.kill();
    await eventually(() => posthorn.log.some(({ message }) => String(message).startsWith("Redis is not usable")));
    await publish();
    await eventually(async () => (await posthorn.api("GET", "/readyz")).body.checks.redis.ok === false);
    await posthorn.api("GET", "/v1/apps/planted/webhook-requests", undefined, admin);
    const { body: metrics } = await posthorn.api("GET", "/metrics", undefined, admin);
    await collector.waitFor(({ attributes }) => attributes["posthorn.outcome"] === "failed");
    await eventually(() => collector.metrics.size > 0);
    await posthorn.end();

    const shown = `${collector.url.replace("://", "://REDACTED:REDACTED@")}/`;
    expect(posthorn.log.find(({ message }) => message === "exporting by OTLP")).toMatchObject({ traces: shown, metrics: shown });
    const attempts = attemptsOf(posthorn, "planted");
    expect(attempts[0]).toMatchObject({
      webhook_url: `${echo.url}/in`,
      request_headers: { Authorization: "[redacted]", "X-Key": "[redacted]", "webhook-id": expect.any(String) },
      response_body: expect.stringContaining("[redacted]"),
    });
    const told = {
      log: JSON.stringify(posthorn.log),
      errors: posthorn.errors.join("\n"),
      metrics: String(metrics),
      exports: collector.bodies.join("\n"),
    };
    expect(told.log.length).toBeGreaterThan(5_000);
    for (const [place, text] of Object.entries(told))
      for (const secret of secrets) if (text.includes(secret)) expect.fail(`${place} has ${secret}: …${around(text, secret)}…`);
  });

  test("by a start that fails", async () => {
    const posthorn = await startPosthorn({
      nats: { url: "nats://user:PLANTED-nats-password@127.0.0.1:1" },
      redis: { url: redis.url.replace("://", "://:PLANTED-redis-password@") },
      settings: { POSTHORN_STARTUP_TIMEOUT: "1s" },
      waitForReady: false,
    });
    expect(await posthorn.end("SIGCONT")).not.toBe(0);
    expect(posthorn.log.at(-1)).toMatchObject({ level: "fatal", code: expect.stringMatching(/^(NATS|REDIS)_UNREACHABLE$/) });
    expect(JSON.stringify([posthorn.log, posthorn.errors])).not.toContain("PLANTED");
  });
});

describe("settings of OpenTelemetry", () => {
  test("that are no endpoint are said without being shown, and turn their signal off", async () => {
    const posthorn = await startPosthorn({
      nats,
      redis,
      settings: {
        OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: "otel:PLANTED-password@127.0.0.1:4318",
        OTEL_EXPORTER_OTLP_METRICS_ENDPOINT: "http://otel:PLANTED-pass/word@127.0.0.1:4318",
      },
    });
    ends = [() => posthorn.end("SIGKILL")];
    expect(posthorn.log.filter(({ setting }) => setting !== undefined)).toMatchObject([
      { setting: "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", message: "traces are not exported: invalid endpoint" },
      { setting: "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", message: "metrics are not exported: invalid endpoint" },
    ]);
    expect(JSON.stringify([posthorn.log, posthorn.errors])).not.toMatch(/PLANTED|exporting by OTLP/);
  });

  test("that can't be followed are said, with their default used instead", async () => {
    const collector = await startOtlpCollector();
    const posthorn = await startPosthorn({
      nats,
      redis,
      settings: {
        OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
        OTEL_BSP_SCHEDULE_DELAY: "50",
        OTEL_TRACES_EXPORTER: "console",
        OTEL_METRICS_EXPORTER: "none",
        OTEL_TRACES_SAMPLER: "parentbased_traceidratio",
        OTEL_TRACES_SAMPLER_ARG: "half",
      },
    });
    ends = [collector.stop, () => posthorn.end("SIGKILL")];
    const { slug } = await posthorn.install({ webhook_url: receiver.url });
    await posthorn.api("POST", "/v1/events", { type: "issue.created", organization_id: "42", data: {} });
    await collector.waitFor(({ attributes }) => attributes["posthorn.app"] === slug && attributes["posthorn.outcome"] === "delivered");
    expect(posthorn.log.filter(({ setting }) => setting !== undefined)).toMatchObject([
      { level: "warn", setting: "OTEL_TRACES_EXPORTER", found: "console", wanted: "otlp, none" },
      { level: "warn", setting: "OTEL_TRACES_SAMPLER_ARG", found: "half", wanted: "a number from 0 to 1" },
    ]);
    expect(posthorn.log.find(({ message }) => message === "exporting by OTLP")).not.toHaveProperty("metrics");
  });
});

describe("detailed logging", () => {
  const start = async (prefix?: string): Promise<Posthorn> => {
    const posthorn = await startPosthornHere({
      nats,
      redis,
      ...(prefix === undefined ? {} : { prefix }),
      settings: { POSTHORN_LOG_DELIVERED_PERCENT: "0" },
    });
    ends.push(posthorn.end);
    return posthorn;
  };
  const busOf = async (posthorn: Posthorn): Promise<Bus> => {
    const bus = await connectBus(nats, posthorn.prefix);
    ends.push(bus.close);
    return bus;
  };

  test("is switched on and off for an app on all replicas, without a restart", async () => {
    const one = await startPosthornHere({ nats, redis });
    ends.push(one.end);
    const two = await startPosthornHere({ nats, redis, prefix: one.prefix, settings: { POSTHORN_LOG_DELIVERED_PERCENT: "0" } });
    ends.push(two.end);
    const bus = await busOf(one);
    const { slug } = await one.install({ webhook_url: receiver.url });
    const received = receiver.requests.length;
    const on = await one.api("PUT", `/v1/apps/${slug}/debug-log`, { for_s: 60 });
    expect([on.status, on.body.app, Date.parse(on.body.until) > Date.now() + 50_000]).toEqual([200, slug, true]);
    const isOn = ({ log }: Posthorn): boolean => log.some(({ message, app }) => message === "detailed logging is on" && app === slug);
    await eventually(() => isOn(one) && isOn(two));
    expect((await two.api("GET", "/v1/debug-log")).body.items).toEqual([on.body]);
    const replicas = [one, two];
    let published = 0;
    await eventually(async () => {
      published++;
      await bus.publish("issue.created", { organization_id: "42", data: {} });
      return replicas.every((replica) => attemptsOf(replica, slug).length > 0);
    });
    // Neither left a line out.
    await eventually(() => attemptsOf(one, slug).length + attemptsOf(two, slug).length === published);
    for (const line of replicas.flatMap((replica) => attemptsOf(replica, slug)))
      expect(line).toMatchObject({ request_headers: { "User-Agent": expect.any(String) } });
    expect((await two.api("DELETE", `/v1/apps/${slug}/debug-log`)).status).toBe(204);
    await eventually(() => [one, two].every(({ log }) => log.some(({ message }) => message === "detailed logging is off")));
    expect((await one.api("GET", "/v1/debug-log")).body.items).toEqual([]);
    const [ofOne, ofTwo] = [attemptsOf(one, slug).length, attemptsOf(two, slug).length];
    for (let i = 0; i < 20; i++) await bus.publish("issue.created", { organization_id: "42", data: {} });
    await receiver.waitFor(received + published + 20);
    expect(attemptsOf(two, slug).length).toBe(ofTwo);
    for (const line of attemptsOf(one, slug).slice(ofOne)) expect(line).not.toHaveProperty("request_headers");
  });

  test("is of one installation, and is there again after a restart", async () => {
    const first = await start();
    const { slug, uuid } = await first.install({ webhook_url: receiver.url });
    const other = await first.install({ webhook_url: receiver.url });
    expect((await first.api("PUT", `/v1/installations/${uuid}/debug-log`, { for_s: 600 })).body.installation_uuid).toBe(uuid);
    await first.end();
    const second = await start(first.prefix);
    const bus = await busOf(second);
    await bus.publish("issue.created", { organization_id: "42", data: {} });
    await eventually(() => attemptsOf(second, slug).length === 1);
    expect(attemptsOf(second, slug)[0]).toMatchObject({ level: "info", outcome: "delivered", request_body: expect.any(String) });
    await eventually(async () => (await second.api("GET", `/v1/apps/${other.slug}/webhook-requests`)).body.items.length === 1);
    expect(attemptsOf(second, other.slug)).toEqual([]);
  });

  test("ends by itself", async () => {
    const posthorn = await start();
    const bus = await busOf(posthorn);
    const { slug } = await posthorn.install({ webhook_url: receiver.url });
    await posthorn.api("PUT", `/v1/apps/${slug}/debug-log`, { for_s: 1 });
    await eventually(async () => (await posthorn.api("GET", "/v1/debug-log")).body.items.length === 0);
    await bus.publish("issue.created", { organization_id: "42", data: {} });
    await eventually(async () => (await posthorn.api("GET", `/v1/apps/${slug}/webhook-requests`)).body.items.length === 1);
    expect(attemptsOf(posthorn, slug)).toEqual([]);
  });

  test("is refused for what is not there, and for too long", async () => {
    const posthorn = await start();
    const { slug } = await posthorn.install({ webhook_url: receiver.url });
    expect((await posthorn.api("PUT", "/v1/apps/nobody/debug-log", {})).status).toBe(404);
    expect((await posthorn.api("PUT", `/v1/installations/${randomUUID()}/debug-log`, {})).status).toBe(404);
    expect((await posthorn.api("PUT", `/v1/apps/${slug}/debug-log`, { for_s: 100_000 })).status).toBe(400);
    expect((await posthorn.api("PUT", `/v1/apps/${slug}/debug-log`)).status).toBe(200);
  });
});

test("of the delivered attempts a share can be left out, of the failed ones none", async () => {
  const posthorn = await startPosthornHere({ nats, redis, settings: { POSTHORN_LOG_DELIVERED_PERCENT: "0" } });
  const bus = await connectBus(nats, posthorn.prefix);
  const bad = await startReceiver(answer(400));
  ends = [bad.stop, bus.close, posthorn.end];
  const delivered = await posthorn.install({ webhook_url: receiver.url });
  const failed = await posthorn.install({ webhook_url: bad.url });
  for (let i = 0; i < 5; i++) await bus.publish("issue.created", { organization_id: "42", data: {} });
  await eventually(() => attemptsOf(posthorn, failed.slug).length === 5);
  await eventually(async () => (await posthorn.api("GET", `/v1/apps/${delivered.slug}/webhook-requests`)).body.items.length === 5);
  expect(attemptsOf(posthorn, delivered.slug)).toEqual([]);
});

function around(text: string, secret: string): string {
  const at = text.indexOf(secret);
  return text.slice(Math.max(0, at - 200), at + secret.length + 50);
}
