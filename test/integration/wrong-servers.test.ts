/** Servers that answer and can't be used with the settings: the error names the setting, what was found and what is wanted. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server as HttpServer } from "node:http";
import { type AddressInfo, createServer as createTcpServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Redis } from "ioredis";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { identifyServer } from "../../src/app/identify-server.ts";
import { connectNats, createConnectionState, openJetStream } from "../../src/jetstream/connection.ts";
import { createStartupWait } from "../../src/jetstream/startup-wait.ts";
import { ensureTopology } from "../../src/jetstream/streams.ts";
import { createSubjects } from "../../src/jetstream/subjects.ts";
import { systemClock } from "../../src/model/clock.ts";
import { connectRedis } from "../../src/storage/redis.ts";
import { createRedisHealth } from "../../src/storage/redis-health.ts";
import { type Authority, makeAuthority } from "../support/certificates.ts";
import { eventually } from "../support/eventually.ts";
import { makeOperator } from "../support/nats-operator.ts";
import { freePort, type Server, startNatsServer, startRedisServer } from "../support/servers.ts";
import { silentLogger } from "../support/silent-logger.ts";

const SECRET = "s3cret";
/** Long enough for every refusal, which comes at once. */
const STARTUP_TIMEOUT_MS = 60_000;

let authority: Authority;
let stranger: Authority;
let http: HttpServer;
let redis: Server;
let nats: Server;
let tlsRedisPort: number;
let tlsNats: Server;
let lockedNats: Server;
let narrowNats: Server;
const servers: Server[] = [];

const kept = async <S extends Server>(starting: Promise<S>): Promise<S> => {
  const server = await starting;
  servers.push(server);
  return server;
};

beforeAll(async () => {
  authority = makeAuthority();
  stranger = makeAuthority("Stranger");
  const { certFile, keyFile } = authority.issue("DNS:localhost,IP:127.0.0.1");
  http = createServer((_request, response) => response.end());
  await new Promise<void>((resolve) => http.listen(0, "127.0.0.1", resolve));
  tlsRedisPort = await freePort();
  const tls = ["--tls-port", String(tlsRedisPort), "--tls-cert-file", certFile, "--tls-key-file", keyFile];
  [redis, nats, tlsNats, lockedNats, narrowNats] = await Promise.all([
    kept(startRedisServer({ arguments: [...tls, "--tls-ca-cert-file", authority.certFile] })),
    kept(startNatsServer()),
    kept(
      startNatsServer({
        config: `tls { cert_file: "${certFile}", key_file: "${keyFile}", ca_file: "${authority.certFile}", verify: true }`,
      }),
    ),
    kept(startNatsServer({ config: `authorization { users: [ { user: posthorn, password: ${SECRET} } ] }` })),
    kept(startNatsServer({ config: "max_payload: 32768" })),
  ]);
  const admin = new Redis(redis.url);
  await admin.acl("SETUSER", "posthorn", "on", `>${SECRET}`, "~posthorn:*", "+@all", "-hgetall", "-time");
  await admin.acl("SETUSER", "stranger", "on", `>${SECRET}`, "~other:*", "+@all");
  await admin.acl("SETUSER", "reader", "on", `>${SECRET}`, "~*", "+@all", "-eval", "-evalsha");
  admin.disconnect();
});
afterAll(async () => {
  http.close();
  await Promise.all(servers.map((server) => server.stop()));
  authority.remove();
  stranger.remove();
});

const httpPort = (): number => (http.address() as AddressInfo).port;
const shared = { startupTimeoutMs: STARTUP_TIMEOUT_MS, identify: identifyServer };

const redisError = (url: string, tls: object = {}): Promise<unknown> =>
  connectRedis({ ...shared, url, tls }, systemClock, silentLogger).then(
    (client) => client.disconnect(),
    (error: unknown) => error,
  );

const natsError = (url: string, more: { tls?: object; credsFile?: string } = {}): Promise<unknown> =>
  connectNats({ ...shared, credsFile: null, url, ...more }, systemClock, silentLogger).then(
    (connection) => connection.close(),
    (error: unknown) => error,
  );

const refusal = (message: RegExp) => ({ code: "CONFIG_INVALID", retryable: false, message: expect.stringMatching(message) });

// The client waits 5 s for a server that says nothing, or nothing of NATS.
describe.concurrent("NATS refuses", () => {
  test("a start without the client certificate that it asks for", async () => {
    const error = await natsError(tlsNats.url, { tls: { ca: authority.cert } });
    expect(error).toMatchObject(refusal(/^POSTHORN_NATS_CERT_FILE: found no client certificate, and .* asks for one/));
  });

  test("the port for other servers", async () => {
    const port = await freePort();
    await kept(startNatsServer({ config: `leafnodes { listen: "127.0.0.1:${port}" }` }));
    expect(await natsError(`nats://127.0.0.1:${port}`)).toMatchObject(refusal(/^POSTHORN_NATS_URL: .* for other servers/));
  });

  test.each<[string, () => string, RegExp]>([
    ["a URL of HTTP", () => `nats://127.0.0.1:${httpPort()}`, /^POSTHORN_NATS_URL: found an HTTP server at .*, wanted a NATS server$/],
    ["a URL of Redis", () => `nats://127.0.0.1:${redis.port}`, /^POSTHORN_NATS_URL: found a Redis server at .*, wanted a NATS server$/],
    [
      "the password of a user",
      () => `nats://posthorn:wr0ng@127.0.0.1:${lockedNats.port}`,
      /^POSTHORN_NATS_URL: .* refused user "posthorn" or its password /,
    ],
    ["a token", () => `nats://wr0ng@127.0.0.1:${lockedNats.port}`, /^POSTHORN_NATS_URL: .* refused the token /],
    ["a start without a user", () => lockedNats.url, /^POSTHORN_NATS_URL: found no user, and .* asks for one /],
    ["TLS", () => nats.url.replace("nats:", "tls:"), /^POSTHORN_NATS_URL: .* does not use TLS, wanted nats:/],
    [
      "a max_payload that leaves no room for events",
      () => narrowNats.url,
      /^POSTHORN_NATS_URL: max_payload of the server at .*: found 32768, wanted 65536 or more$/,
    ],
    ["an unknown authority", () => tlsNats.url, /^POSTHORN_NATS_CA_FILE: the certificate of .* can't be verified/],
  ])("%s", async (_what, url, message) => {
    const error = await natsError(url());
    expect(error).toMatchObject(refusal(message));
    expect(String(error)).not.toMatch(/wr0ng|s3cret/);
  });

  test.each([
    ['publish: { deny: ["$JS.API.INFO"] }', /may not publish to \$JS\.API\.INFO; wanted the permissions of docs\/security\.md$/],
    ['publish: { deny: ["$JS.API.STREAM.CREATE.>"] }', /may not publish to \$JS\.API\.STREAM\.CREATE\./],
    ['subscribe: { deny: ["_INBOX.>"] }', /may not subscribe to _INBOX\.posthorn\./],
  ])("a user with the permissions %s", async (permissions, message) => {
    const limited = await kept(
      startNatsServer({ config: `authorization { users: [ { user: posthorn, password: ${SECRET}, permissions: { ${permissions} } } ] }` }),
    );
    const url = `nats://posthorn:${SECRET}@127.0.0.1:${limited.port}`;
    const connection = await connectNats({ ...shared, credsFile: null, url }, systemClock, silentLogger);
    const state = createConnectionState(connection);
    const options = { startupTimeoutMs: STARTUP_TIMEOUT_MS, signal: new AbortController().signal, permissions: state };
    const untilAvailable = createStartupWait(options, systemClock, silentLogger);
    const start = async () => {
      const manager = await untilAvailable("JetStream", () => openJetStream(connection));
      await untilAvailable("the streams", () => ensureTopology(manager, createSubjects("app-platform"), 1));
    };
    await expect(start()).rejects.toMatchObject(refusal(message));
    await eventually(() => state.lacks().length > 0);
    await connection.close();
  });

  test("credentials of another operator", async ({ onTestFinished }) => {
    const [own, other] = [makeOperator(), makeOperator()];
    const server = await kept(startNatsServer({ config: own.config }));
    const folder = mkdtempSync(join(tmpdir(), "posthorn-creds-"));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    writeFileSync(`${folder}/other.creds`, other.creds);
    writeFileSync(`${folder}/no.creds`, "nothing\n");
    const withFile = (name: string) => natsError(server.url, { credsFile: `${folder}/${name}` });
    expect(await withFile("other.creds")).toMatchObject(refusal(/^POSTHORN_NATS_CREDS_FILE: .* refused these credentials /));
    expect(await withFile("no.creds")).toMatchObject(refusal(/^POSTHORN_NATS_CREDS_FILE: found no credentials in the file/));
  });
});

describe.concurrent("Redis refuses", () => {
  test.each<[string, () => string, RegExp]>([
    [
      "the password of a user",
      () => `redis://posthorn:wr0ng@127.0.0.1:${redis.port}`,
      /^POSTHORN_REDIS_URL: .* refused user "posthorn" or its password, wanted /,
    ],
    [
      "an unknown user",
      () => `redis://nobody:wr0ng@127.0.0.1:${redis.port}`,
      /^POSTHORN_REDIS_URL: .* refused user "nobody" or its password, wanted /,
    ],
    ["a database that it doesn't have", () => `${redis.url}/99`, /^POSTHORN_REDIS_URL: database 99 of .* out of range/],
    [
      "commands",
      () => `redis://posthorn:${SECRET}@127.0.0.1:${redis.port}`,
      /^POSTHORN_REDIS_URL: user "posthorn" at .* may not run hgetall, time; wanted /,
    ],
    [
      "scripts",
      () => `redis://reader:${SECRET}@127.0.0.1:${redis.port}`,
      /^POSTHORN_REDIS_URL: user "reader" at .* may not run eval(sha)?; wanted /,
    ],
    [
      "keys",
      () => `redis://stranger:${SECRET}@127.0.0.1:${redis.port}`,
      /^POSTHORN_REDIS_URL: .* may not use keys that begin with posthorn:; wanted /,
    ],
    [
      "several URLs of single servers",
      () => `${redis.url},${redis.url}`,
      /^POSTHORN_REDIS_URL: found several URLs, and .* is no node of a cluster/,
    ],
    ["a URL of HTTP", () => `redis://127.0.0.1:${httpPort()}`, /^POSTHORN_REDIS_URL: found an HTTP server at .*, wanted a Redis server$/],
    ["a URL of NATS", () => `redis://127.0.0.1:${nats.port}`, /^POSTHORN_REDIS_URL: found a NATS server at .*, wanted a Redis server$/],
    ["TLS", () => `rediss://127.0.0.1:${redis.port}`, /^POSTHORN_REDIS_URL: .* does not use TLS, wanted redis:/],
    ["no TLS", () => `redis://127.0.0.1:${tlsRedisPort}`, /^POSTHORN_REDIS_URL: .* uses TLS, wanted rediss:/],
    [
      "an unknown authority",
      () => `rediss://127.0.0.1:${tlsRedisPort}`,
      /^POSTHORN_REDIS_CA_FILE: the certificate of .* can't be verified/,
    ],
  ])("%s", async (_what, url, message) => {
    const error = await redisError(url());
    expect(error).toMatchObject(refusal(message));
    expect(String(error)).not.toMatch(/wr0ng|s3cret/);
  });

  test("a start without the password or the client certificate that it asks for", async () => {
    const locked = await kept(startRedisServer({ arguments: ["--requirepass", SECRET] }));
    expect(await redisError(locked.url)).toMatchObject(refusal(/^POSTHORN_REDIS_URL: found no password, and .* asks for one/));
    expect(await redisError(`redis://:wr0ng@127.0.0.1:${locked.port}`)).toMatchObject(refusal(/refused the password, wanted /));
    const ofClient = await redisError(`rediss://127.0.0.1:${tlsRedisPort}`, { ca: authority.cert });
    expect(ofClient).toMatchObject(refusal(/^POSTHORN_REDIS_CERT_FILE: found no client certificate, and .* asks for one/));
  });

  test("a database on a node of a cluster", async () => {
    const node = await kept(startRedisServer({ arguments: ["--cluster-enabled", "yes"] }));
    expect(await redisError(`${node.url}/3`)).toMatchObject(refusal(/^POSTHORN_REDIS_URL: found database 3, and .* has only database 0/));
  });

  test("versions before 6.2", async () => {
    // Older servers can't be had here: this one only says that it is one.
    const old = createTcpServer((socket) => {
      const info = "redis_version:6.0.16\r\nredis_mode:standalone\r\nrole:master\r\n";
      socket.on("data", (bytes) => {
        for (const command of bytes.toString().match(/\$\d+\r\n(?:hello|info|client)/gi) ?? [])
          socket.write(/info/i.test(command) ? `$${info.length}\r\n${info}\r\n` : /hello/i.test(command) ? "*0\r\n" : "+OK\r\n");
      });
      socket.on("error", () => {});
    });
    await new Promise<void>((resolve) => old.listen(0, "127.0.0.1", resolve));
    const error = await redisError(`redis://127.0.0.1:${(old.address() as AddressInfo).port}`);
    expect(error).toMatchObject(refusal(/^POSTHORN_REDIS_URL: found Redis 6\.0\.16 at .*, wanted 6\.2 or newer$/));
    old.close();
  });
});

test.concurrent("a user of Redis that loses its password or a command while Posthorn runs is named", async () => {
  const own = await kept(startRedisServer());
  const admin = new Redis(own.url);
  await admin.acl("SETUSER", "posthorn", "on", `>${SECRET}`, "~posthorn:*", "+@all");
  const client = await connectRedis({ ...shared, url: `redis://posthorn:${SECRET}@127.0.0.1:${own.port}` }, systemClock, silentLogger);
  let aheadMs = 0;
  const health = createRedisHealth(client, { ...systemClock, now: () => systemClock.now() + aheadMs }, silentLogger);
  await health.start();
  expect(health.problem()).toBeNull();
  await admin.acl("SETUSER", "posthorn", "-zadd");
  // Posthorn tries every 10 s which commands the user may run.
  aheadMs += 10_000;
  await eventually(() => health.problem() === "its user may not run zadd");
  await admin.acl("SETUSER", "posthorn", "+zadd", `<${SECRET}`, ">another");
  await admin.client("KILL", "USER", "posthorn");
  await eventually(() => /^no connection: WRONGPASS/.test(health.problem() ?? ""));
  await admin.acl("SETUSER", "posthorn", `>${SECRET}`);
  await eventually(() => health.problem() === null);
  health.stop();
  client.disconnect();
  admin.disconnect();
});

test.concurrent("a replica of Redis is waited for, as it may become the primary", async () => {
  const primary = await kept(startRedisServer());
  const replica = await kept(startRedisServer({ arguments: ["--replicaof", `127.0.0.1 ${primary.port}`] }));
  const warned: string[] = [];
  const logger = { ...silentLogger, warn: (fields: object) => void warned.push(String((fields as { error: string }).error)) };
  const connecting = connectRedis({ ...shared, url: replica.url }, systemClock, logger);
  // A starved one may not answer at first.
  await eventually(() => warned.some((error) => /^found a replica at .*, which refuses writes; wanted the primary$/.test(error)));
  const admin = new Redis(replica.url);
  await admin.replicaof("NO", "ONE");
  admin.disconnect();
  (await connecting).disconnect();
});

test.concurrent("a NATS user whose password changes while Posthorn runs is named, and reconnects when it is right again", async () => {
  const own = await kept(
    startNatsServer({ config: `authorization { users: [ { user: posthorn, password: $PASSWORD } ] }`, environment: { PASSWORD: SECRET } }),
  );
  const warned: string[] = [];
  const logger = { ...silentLogger, warn: (_fields: object, message: string) => void warned.push(message) };
  const url = `nats://posthorn:${SECRET}@127.0.0.1:${own.port}`;
  const connection = await connectNats({ ...shared, credsFile: null, url }, systemClock, logger);
  const state = createConnectionState(connection);
  await own.kill();
  const config = { port: own.port, config: `authorization { users: [ { user: posthorn, password: another } ] }` };
  const other = await startNatsServer(config);
  await eventually(() => /^disconnected: the server refuses the user/.test(state.problem() ?? ""));
  // The client would give up at the second refusal.
  await eventually(() => (other.log().match(/authentication error/gi) ?? []).length > 2);
  expect(connection.isClosed()).toBe(false);
  expect(warned.filter((message) => message === "NATS disconnected")).toHaveLength(1);
  await other.stop();
  await own.restart();
  await eventually(() => state.problem() === null);
  await connection.close();
});

test.concurrent("a NATS server with too small a max_payload is named after a reconnect, and the limit of the last good one kept", async () => {
  // The server reads it at each of its starts.
  const environment = { MAX_PAYLOAD: "131072" };
  const own = await kept(startNatsServer({ config: "max_payload: $MAX_PAYLOAD", environment }));
  const connection = await connectNats({ ...shared, credsFile: null, url: own.url }, systemClock, silentLogger);
  const state = createConnectionState(connection);
  expect([state.problem(), state.maxPayloadBytes()]).toEqual([null, 131_072]);
  environment.MAX_PAYLOAD = "32768";
  await own.restart();
  await eventually(() => /^max_payload of the server/.test(state.problem() ?? ""));
  expect(state.maxPayloadBytes()).toBe(131_072);
  environment.MAX_PAYLOAD = "262144";
  await own.restart();
  await eventually(() => state.problem() === null && state.maxPayloadBytes() === 262_144);
  await connection.close();
});
