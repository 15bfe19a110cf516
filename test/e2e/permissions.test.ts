/** Servers that speak TLS with client certificates and know the users of deploy/nats and docs/security.md, literally. */

import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Redis } from "ioredis";
import { AckPolicy, type ConnectionOptions, connect, type NatsConnection } from "nats";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createPublisher, type Publisher, type StatusEvent, subscribeStatus } from "../../src/client/client.ts";
import { makeAuthority } from "../support/certificates.ts";
import { eventually } from "../support/eventually.ts";
import { makeOperator } from "../support/nats-operator.ts";
import { failToStartHere, type Posthorn, startPosthornHere } from "../support/posthorn.ts";
import { answer, type Receiver, startReceiver } from "../support/receiver.ts";
import { replayDeadLetters } from "../support/replay-dead-letters.ts";
import { freePort, natsPasswords, type Server, startNatsServer, startRedisServer } from "../support/servers.ts";

const DOCUMENT = readFileSync(new URL("../../docs/security.md", import.meta.url), "utf8");
/** The blocks of one language, in order. */
const blocks = (language: string): string[] =>
  [...DOCUMENT.matchAll(new RegExp(`^\`\`\`${language}\\n(.*?)^\`\`\``, "gms"))].map(([, text]) => text ?? "");
const [tlsBlock = ""] = blocks("nats");
/** Without its folder of streams. */
const accounts = readFileSync(new URL("../../deploy/nats/posthorn.conf", import.meta.url), "utf8").replace(/^jetstream \{[^}]*\}$/m, "");
const [acl = ""] = blocks("acl");

const authority = makeAuthority();
const server = authority.issue("DNS:localhost,IP:127.0.0.1");
const client = authority.issue("DNS:posthorn", { commonName: "posthorn" });
const files = { ca: authority.certFile, cert: client.certFile, key: client.keyFile };

let nats: Server;
let redis: Server;
let redisTlsPort: number;
let posthorn: Posthorn;
let receiver: Receiver;
let publisher: Publisher;
const connections: NatsConnection[] = [];

const USERS = ["posthorn", "operator", "publisher", "mailer"];

const natsAs = async (user: string, options: ConnectionOptions = {}): Promise<NatsConnection> => {
  const connection = await connect({
    servers: `127.0.0.1:${nats.port}`,
    user,
    pass: `change-me-${user}`,
    inboxPrefix: `_INBOX.${user}`,
    tls: { ca: authority.cert, cert: client.cert, key: client.key },
    reconnect: false,
    ...options,
  });
  connections.push(connection);
  return connection;
};

/** As a service of the platform comes with posthorn/client. */
const sourceOf = (user: string) => ({
  servers: `tls://${user}:change-me-${user}@127.0.0.1:${nats.port}`,
  tls: { ca: authority.cert, cert: client.cert, key: client.key },
  inboxPrefix: `_INBOX.${user}`,
});

/** Where the accounts of subscribers have Posthorn's JetStream API. */
const API = "POSTHORN.API";

const WITHOUT_TLS = Object.fromEntries(["CA", "CERT", "KEY"].map((kind) => [`POSTHORN_NATS_${kind}_FILE`, undefined]));

function settings(): Record<string, string> {
  return {
    POSTHORN_NATS_URL: `tls://posthorn:change-me-posthorn@127.0.0.1:${nats.port}`,
    POSTHORN_NATS_CA_FILE: files.ca,
    POSTHORN_NATS_CERT_FILE: files.cert,
    POSTHORN_NATS_KEY_FILE: files.key,
    POSTHORN_REDIS_URL: `rediss://posthorn:change-me-posthorn@127.0.0.1:${redisTlsPort}`,
    POSTHORN_REDIS_CA_FILE: files.ca,
    POSTHORN_REDIS_CERT_FILE: files.cert,
    POSTHORN_REDIS_KEY_FILE: files.key,
    POSTHORN_BROKEN_PROBE_INTERVAL: "300ms",
    POSTHORN_CIRCUIT_MIN_ATTEMPTS: "5",
    POSTHORN_CIRCUIT_OPEN_TIME: "200ms",
    POSTHORN_CIRCUIT_MAX_OPEN_TIME: "1s",
  };
}

beforeAll(async () => {
  const config = accounts + tlsBlock.replace("/etc/nats/server.pem", server.certFile).replace("/etc/nats/server.key", server.keyFile);
  nats = await startNatsServer({
    config: config.replace("/etc/nats/authority.pem", authority.certFile),
    environment: natsPasswords(USERS),
  });
  redisTlsPort = await freePort();
  const aclFile = join(authority.certFile, "..", "users.acl");
  writeFileSync(aclFile, acl);
  redis = await startRedisServer({
    arguments: [
      ...["--aclfile", aclFile, "--tls-port", String(redisTlsPort), "--tls-cert-file", server.certFile, "--tls-key-file", server.keyFile],
      ...["--tls-ca-cert-file", authority.certFile, "--tls-auth-clients", "yes"],
    ],
  });
  receiver = await startReceiver();
  posthorn = await startPosthornHere({ nats, redis, prefix: "app-platform", settings: settings() });
  const operator = await natsAs("operator");
  await (await operator.jetstreamManager()).consumers.add("APP_PLATFORM_STATUS", {
    durable_name: "mailer",
    filter_subject: "app-platform.status.>",
    ack_policy: AckPolicy.Explicit,
    max_ack_pending: 1,
  });
  publisher = await createPublisher({ nats: sourceOf("publisher") });
});
afterAll(async () => {
  await publisher.close();
  await posthorn.end();
  for (const connection of connections) await connection.close();
  await Promise.all([nats.stop(), redis.stop(), receiver.stop()]);
  authority.remove();
});

/** What the server or Posthorn said of permissions that were missing. */
const complaints = (): string[] => [
  ...nats
    .log()
    .split("\n")
    .filter((line) => line.includes("Violation")),
  ...posthorn.log
    .filter((line) => ["warn", "error"].includes(String(line["level"])))
    .map((line) => JSON.stringify(line))
    .filter((line) => /permission|NOPERM|Violation/i.test(line)),
];

describe("with the accounts of deploy/nats", () => {
  test("Posthorn does all it does", async () => {
    const status: StatusEvent[] = [];
    const subscription = await subscribeStatus({
      nats: sourceOf("mailer"),
      apiPrefix: API,
      durable: "mailer",
      onEvent: (event) => void status.push(event),
    });
    const changes = (): string[] => status.map(({ type }) => type);
    const { slug, uuid } = await posthorn.install({ webhook_url: receiver.url, retry_schedule_s: [0.05, 2] });
    const publish = () => publisher.publish({ type: "issue.created", organizationId: "42", data: {} });

    // Delivered, logged, sent again.
    await publish();
    const row = await eventually(async () => (await posthorn.api("GET", `/v1/apps/${slug}/webhook-requests`)).body.items[0]);
    expect((await posthorn.api("POST", `/v1/deliveries/${row.delivery_id}/resend`)).status).toBe(202);
    await receiver.waitFor(2);
    expect((await posthorn.api("POST", `/v1/apps/${slug}/test`)).body.outcome).toBe("delivered");
    expect((await posthorn.api("POST", "/v1/events", { type: "issue.created", organization_id: "42", data: {} })).status).toBe(202);
    await receiver.waitFor(4);

    // Retried, until the circuit opens, parks and closes.
    receiver.behave(answer(500));
    await Promise.all(Array.from({ length: 10 }, publish));
    await eventually(() => changes().includes("circuit.opened"));
    receiver.behave(answer(200));
    await eventually(() => changes().includes("circuit.closed"));

    // Broken, probed, recovered.
    receiver.behave(answer(410));
    await publish();
    await eventually(() => changes().includes("integration.broken"));
    receiver.behave(answer(200));
    await publish();
    await eventually(() => changes().includes("integration.recovered"));

    // Disabled, discarded, enabled; dead letters listed and replayed.
    await posthorn.api("POST", `/v1/installations/${uuid}/disable`);
    // What comes before the watch has brought it is delivered.
    await eventually(async () => (await posthorn.api("GET", "/metrics")).body.includes('posthorn_integrations{status="disabled"} 1'));
    await publish();
    // More than one where the backlog of the recovery was still being delivered.
    await eventually(async () => (await posthorn.api("POST", `/v1/installations/${uuid}/discard`)).body.discarded >= 1);
    await posthorn.api("POST", `/v1/installations/${uuid}/enable`);
    const letters = await eventually(async () => {
      const [own, all] = await Promise.all(
        [`app=${slug}`, "order=newest"].map((query) => posthorn.api("GET", `/v1/dead-letters?${query}`)),
      );
      const found = own?.body.items as Array<{ sequence: number }>;
      return found.length >= 2 && all?.body.items.length === found.length && found;
    });
    expect((await posthorn.api("GET", "/v1/status-events")).body.items.length).toBeGreaterThanOrEqual(2);
    expect((await posthorn.api("GET", "/v1/events/unheard-of")).status).toBe(404);
    expect((await posthorn.api("GET", "/v1/events?start=2026-01-01")).body.items.length).toBeGreaterThanOrEqual(10);
    expect((await posthorn.api("GET", `/v1/deliveries?app=${slug}&start=2026-01-01`)).body.items.length).toBeGreaterThanOrEqual(2);
    expect((await posthorn.api("GET", `/v1/find?q=${row.delivery_id.slice(0, 12)}`)).body.items).toMatchObject([{ id: row.delivery_id }]);
    expect((await posthorn.api("POST", `/v1/dead-letters/${letters[0]?.sequence}/replay`)).status).toBe(202);
    expect((await replayDeadLetters(posthorn.api, {})).state).toBe("done");
    await eventually(async () => (await posthorn.api("GET", "/v1/dead-letters")).body.items.length === 0);

    // Sent again as a whole.
    const replay = (await posthorn.api("POST", "/v1/replays", { app: slug, what: "all" })).body as { id: string };
    await eventually(async () => (await posthorn.api("GET", `/v1/replays/${replay.id}`)).body.state === "done");

    // Ordered, so that a hold is kept; unreadable; removed.
    await posthorn.api("PUT", `/v1/apps/${slug}`, { webhook_url: receiver.url, events: ["*"], ordered: true, retry_schedule_s: [0.05] });
    let fails = true;
    receiver.behave((_request, response) => {
      response.writeHead(fails ? 500 : 200).end();
      fails = false;
    });
    await publish();
    await posthorn.api("POST", "/v1/apps/nobody/tokens");
    await (await natsAs("publisher")).jetstream().publish("app-platform.events.issue.created", "garbage");
    await eventually(async () => (await posthorn.api("GET", "/v1/dead-letters")).body.items.length === 1);
    expect((await posthorn.api("POST", `/v1/apps/${slug}/tokens`)).status).toBe(201);
    expect((await posthorn.api("GET", `/v1/apps/${slug}/stats`)).status).toBe(200);
    expect((await posthorn.api("GET", "/v1/overview")).status).toBe(200);
    // A record is damaged: the one before it is read from the bucket's history.
    await (await natsAs("operator")).jetstream().publish(`$KV.app-platform-registry.app.${slug}`, '{"name":7}');
    await eventually(async () => (await posthorn.api("GET", "/v1/invalid-records")).body.items[0]?.earlier_in_force === true);
    const damaged = (await posthorn.api("GET", `/v1/apps/${slug}`)).body;
    expect(damaged).toMatchObject({
      slug,
      ordered: true,
      invalid: expect.stringMatching(/slug: missing; name: found a number, wanted a string/),
    });
    expect((await posthorn.api("DELETE", `/v1/apps/${slug}`)).status).toBe(204);
    await subscription.stop();
    // Whether enough of the attempts have failed for the app's own events depends on their number.
    expect(new Set(changes().filter((type) => !type.startsWith("app.")))).toEqual(
      new Set([
        ...["circuit.opened", "circuit.closed", "integration.broken", "integration.recovered", "integration.disabled"],
        ...["integration.enabled", "delivery.rejected"],
      ]),
    );
    expect((await posthorn.api("GET", "/readyz")).body.checks.redis.ok).toBe(true);
    expect(complaints()).toEqual([]);
  });

  test.each<[user: string, subject: string]>([
    ["publisher", "app-platform.dead-letters.acme"],
    ["publisher", "app-platform.retries.1.acme"],
    ["publisher", "app-platform.status.integration.broken.acme"],
    ["publisher", "$KV.app-platform-registry.app.acme"],
    ["publisher", "$JS.API.STREAM.MSG.GET.KV_app-platform-registry"],
    ["publisher", "$JS.API.DIRECT.GET.KV_app-platform-registry.$KV.app-platform-registry.app.acme"],
    ["publisher", "$JS.API.STREAM.DELETE.APP_PLATFORM_EVENTS"],
    ["publisher", "$JS.API.CONSUMER.CREATE.APP_PLATFORM_EVENTS.spy"],
    ["mailer", "app-platform.events.issue.created"],
    ["mailer", "$JS.API.INFO"],
    ["mailer", "$JS.API.CONSUMER.CREATE.APP_PLATFORM_EVENTS.mailer"],
    ["mailer", "$JS.API.CONSUMER.CREATE.APP_PLATFORM_STATUS.mailer.app-platform.status.>"],
    ["mailer", `${API}.CONSUMER.CREATE.APP_PLATFORM_STATUS.mailer`],
    ["mailer", `${API}.CONSUMER.MSG.NEXT.APP_PLATFORM_STATUS.other`],
    ["mailer", "$JS.API.STREAM.MSG.GET.APP_PLATFORM_STATUS"],
    ["posthorn", "$JS.API.STREAM.DELETE.APP_PLATFORM_EVENTS"],
    ["posthorn", "$JS.API.STREAM.PURGE.APP_PLATFORM_DEAD_LETTERS"],
    ["posthorn", "$JS.API.STREAM.UPDATE.APP_PLATFORM_RETRIES"],
    ["posthorn", "other-platform.events.issue.created"],
  ])("%s may not publish %s", async (user, subject) => {
    const connection = await natsAs(user);
    await expect(connection.request(subject, "", { timeout: 30_000 })).rejects.toMatchObject({ code: "PERMISSIONS_VIOLATION" });
  });

  test.each<[user: string, subject: string]>([
    ["publisher", "app-platform.>"],
    ["publisher", "_INBOX.>"],
    ["publisher", "_INBOX.posthorn.>"],
    ["mailer", "_INBOX.posthorn.>"],
    ["mailer", "app-platform.events.>"],
    ["mailer", "$KV.app-platform-registry.>"],
    ["posthorn", ">"],
  ])("%s may not listen to %s", async (user, subject) => {
    const subscription = (await natsAs(user)).subscribe(subject);
    await expect(subscription[Symbol.asyncIterator]().next()).rejects.toMatchObject({ code: "PERMISSIONS_VIOLATION" });
  });
});

/** A reply subject is no subject that permissions are for: the server publishes its answer there. */
describe("the answer to what a client may publish can't be turned against Posthorn", () => {
  const KEY = "app.victim";
  const REPLIES = [
    `$KV.app-platform-registry.${KEY}`,
    "$JS.API.STREAM.PURGE.APP_PLATFORM_DEAD_LETTERS",
    "$JS.API.STREAM.DELETE.APP_PLATFORM_STATUS",
    "$JS.API.STREAM.MSG.DELETE.APP_PLATFORM_EVENTS",
    "app-platform.dead-letters.acme",
    "app-platform.status.integration.broken.acme",
    "app-platform.retries.1.acme",
  ];
  const push = { durable_name: "mailer", deliver_subject: `$KV.app-platform-registry.${KEY}`, deliver_policy: "all", ack_policy: "none" };
  const create = JSON.stringify({ stream_name: "APP_PLATFORM_STATUS", config: push });
  const REQUESTS: Array<[user: string, subject: string, body: string]> = [
    ["publisher", "app-platform.events.issue.created", '{"organization_id":"none","data":{}}'],
    ["mailer", "$JS.API.INFO", ""],
    ["mailer", `${API}.CONSUMER.INFO.APP_PLATFORM_STATUS.mailer`, ""],
    ["mailer", `${API}.CONSUMER.MSG.NEXT.APP_PLATFORM_STATUS.mailer`, '{"batch":1,"no_wait":true}'],
    ["mailer", `${API}.CONSUMER.CREATE.APP_PLATFORM_STATUS.mailer`, create],
    ["mailer", "$JS.API.CONSUMER.CREATE.APP_PLATFORM_STATUS.mailer", create],
    ["mailer", "$JS.API.CONSUMER.DURABLE.CREATE.APP_PLATFORM_STATUS.mailer", create],
    ["mailer", "$JS.ACK.APP_PLATFORM_STATUS.mailer.1.1.1.1.1", "+NXT"],
  ];

  test.each(REQUESTS)("%s publishes %s with a reply subject of Posthorn's", async (user, subject, body) => {
    const operator = await natsAs("operator");
    const manager = await operator.jetstreamManager();
    const registry = await operator.jetstream().views.kv("app-platform-registry", { bindOnly: true });
    await posthorn.api("PUT", "/v1/apps/victim", { webhook_url: receiver.url });
    const record = await registry.get(KEY);
    /** An attack could add or delete streams, purge dead letters, or store something under one of the subjects. */
    const attacked = async () => {
      const infos = await manager.streams.list().next();
      const counts: Record<string, number> = {};
      for (const { config } of infos) {
        const { state } = await manager.streams.info(config.name, { subjects_filter: ">" });
        for (const reply of REPLIES) counts[reply] = (counts[reply] ?? 0) + (state.subjects?.[reply] ?? 0);
      }
      const letters = infos.find(({ config }) => config.name === "APP_PLATFORM_DEAD_LETTERS");
      return { streams: infos.map(({ config }) => config.name).sort(), firstDeadLetter: letters?.state.first_seq, counts };
    };
    const before = await attacked();
    expect(before.counts["app-platform.status.integration.broken.acme"]).toBe(0);
    const attacker = await natsAs(user);
    for (const reply of REPLIES) attacker.publish(subject, body, { reply });
    await attacker.flush();
    // What the server answered has come where it goes once it has answered this one, too.
    await publisher.publish({ type: "issue.created", organizationId: "none", data: {} });
    await operator.flush();

    const now = await registry.get(KEY);
    expect([now?.revision, now?.string()]).toEqual([record?.revision, record?.string()]);
    expect(await attacked()).toEqual(before);
    expect((await manager.consumers.info("APP_PLATFORM_STATUS", "mailer")).config.deliver_subject).toBeUndefined();
    expect((await posthorn.api("GET", "/readyz")).status).toBe(200);
  });

  test("a subscriber whose consumer is not there learns who makes it", async () => {
    const subscribing = subscribeStatus({ nats: sourceOf("mailer"), apiPrefix: API, durable: "other", onEvent: () => {} });
    await expect(subscribing).rejects.toMatchObject({ code: expect.stringMatching(/NOT_FOUND|PERMISSIONS_VIOLATION/) });
  });
});

describe("Redis", () => {
  test.each([
    "FLUSHALL",
    "KEYS *",
    "CONFIG GET *",
    "GET other:key",
    "SET other:key 1",
    "ACL LIST",
    "SCAN 0",
    "LPUSH other 1",
    "SUBSCRIBE x",
  ])("does not let Posthorn's user do: %s", async (text) => {
    const [command = "", ...args] = text.split(" ");
    const redisAs = new Redis(`redis://posthorn:change-me-posthorn@127.0.0.1:${redis.port}`, { lazyConnect: true });
    await redisAs.connect();
    await expect(redisAs.call(command, ...args)).rejects.toThrow(/NOPERM/);
    redisAs.disconnect();
  });
});

describe("a start", () => {
  const failed = async (change: Record<string, string>) =>
    (await failToStartHere({ nats, redis, settings: { ...settings(), POSTHORN_STARTUP_TIMEOUT: "4s", ...change } })).fault;

  test.each<[string, () => Record<string, string>, RegExp]>([
    [
      "a NATS server of an unknown authority",
      () => ({ POSTHORN_NATS_CA_FILE: server.certFile }),
      /^POSTHORN_NATS_CA_FILE: the certificate of .* can't be verified/,
    ],
    [
      "a wrong NATS password",
      () => ({ POSTHORN_NATS_URL: `tls://posthorn:wrong@127.0.0.1:${nats.port}` }),
      /^POSTHORN_NATS_URL: .* refused user "posthorn" or its password/,
    ],
    [
      "a Redis server of an unknown authority",
      () => ({ POSTHORN_REDIS_CA_FILE: server.certFile }),
      /^POSTHORN_REDIS_CA_FILE: the certificate of .* can't be verified/,
    ],
    [
      "a wrong Redis password",
      () => ({ POSTHORN_REDIS_URL: `rediss://posthorn:wrong@127.0.0.1:${redisTlsPort}` }),
      /^POSTHORN_REDIS_URL: .* refused user "posthorn" or its password/,
    ],
  ])("with %s ends at once and says why, without the password", async (_what, change, message) => {
    const fault = await failed(change());
    expect(fault).toMatchObject({ retryable: false, message: expect.stringMatching(message) });
    expect(fault.message).not.toMatch(/change-me|wrong@|:wrong/);
  });

  test("with a tls: URL never continues without TLS", async () => {
    const plain = await startNatsServer();
    const url = plain.url.replace("nats:", "tls:");
    expect(await failed({ POSTHORN_NATS_URL: url, POSTHORN_NATS_CA_FILE: files.ca })).toMatchObject({
      retryable: false,
      message: expect.stringMatching(/^POSTHORN_NATS_URL: .* does not use TLS/),
    });
    await plain.stop();
  });
});

describe("a NATS credentials file", () => {
  test("is what Posthorn can come with, and one of another operator gets it nowhere", async () => {
    const [operator, other] = [makeOperator(), makeOperator()];
    const own = await startNatsServer({ config: operator.config });
    const file = (name: string, text: string): string => {
      const path = join(authority.certFile, "..", name);
      writeFileSync(path, text);
      return path;
    };
    const withCredentials = (creds: string) => ({
      ...{ nats: own, redis },
      settings: {
        ...settings(),
        POSTHORN_NATS_URL: own.url,
        ...WITHOUT_TLS,
        POSTHORN_NATS_CREDS_FILE: creds,
        POSTHORN_STARTUP_TIMEOUT: "5s",
      },
    });
    const accepted = await startPosthornHere(withCredentials(file("posthorn.creds", operator.creds)));
    expect((await accepted.api("GET", "/readyz")).status).toBe(200);
    expect(await accepted.end()).toBe(0);
    const { fault } = await failToStartHere(withCredentials(file("other.creds", other.creds)));
    expect(fault).toMatchObject({
      retryable: false,
      message: expect.stringMatching(/^POSTHORN_NATS_CREDS_FILE: .* refused these credentials/),
    });
    await own.stop();
  });
});
