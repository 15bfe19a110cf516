import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { syncBuiltinESMExports } from "node:module";
import os, { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, test } from "vitest";
import { ConfigError, loadConfig } from "../../../src/config/load-config.ts";
import { makeAuthority } from "../../support/certificates.ts";

const PACKAGE = fileURLToPath(new URL("../../../package.json", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "posthorn-config-"));
afterAll(() => rmSync(folder, { recursive: true }));

function problems(environment: Record<string, string>): readonly string[] {
  try {
    loadConfig(environment);
  } catch (error) {
    if (error instanceof ConfigError) return error.problems;
    throw error;
  }
  throw new Error("was accepted");
}

const second = 1_000;
const hour = 3_600 * second;

test("the defaults are the contract's", () => {
  expect(loadConfig({})).toMatchObject({
    natsUrl: "nats://127.0.0.1:4222",
    subjectPrefix: "app-platform",
    streamReplicas: 1,
    httpHost: "127.0.0.1",
    httpPort: 8080,
    requestTimeout: 10 * second,
    connectTimeout: 3 * second,
    targetAllow: [],
    targetDeny: [],
    targetDnsServers: [],
    targetSchemes: ["http", "https"],
    targetPorts: [[1, 65_535]],
    targetTlsMinVersion: "TLSv1.2",
    maxEventSize: 1_048_576,
    secretOverlap: 24 * hour,
    encryptionKeyPrevious: [],
    retrySchedule: [5 * second, 30 * second, 300 * second, 1_800 * second, 2 * hour, 5 * hour, 10 * hour, 10 * hour],
    maxInFlight: 256,
    appMaxInFlight: 32,
    logLevel: "info",
    requestLogSize: 100,
    requestLogTtl: 30 * 24 * hour,
    maxParkedAge: 7 * 24 * hour,
    brokenWindow: 7,
    brokenTimeouts: 1000,
    circuitWindow: 60 * second,
    circuitMinAttempts: 20,
    circuitFailurePercent: 50,
    circuitOpenTime: 30 * second,
    circuitMaxOpenTime: 600 * second,
    drainTimeout: 25 * second,
    headerPrefix: "Sentry-Hook",
    defaultActor: '{"type":"application","id":"sentry","name":"Sentry"}',
    encryptionKey: null,
    appsFile: null,
  });
});

test("the config can't be changed", () => {
  expect(Object.isFrozen(loadConfig({}))).toBe(true);
});

test("variables of others are none of its business", () => {
  expect(() => loadConfig({ PATH: "/bin", OTEL_SERVICE_NAME: "x", POSTHORNY: "1" })).not.toThrow();
});

test("every problem is reported at once, each naming its variable", () => {
  expect(
    problems({ POSTHORN_REQUEST_TIMEOUT: "10", POSTHORN_HTTP_PORT: "70000", POSTHORN_LOG_LEVL: "debug", POSTHORN_REDIS_URL: "localhost" })
      .map((line) => line.split(":")[0])
      .sort(),
  ).toEqual(["POSTHORN_HTTP_PORT", "POSTHORN_LOG_LEVL", "POSTHORN_REDIS_URL", "POSTHORN_REQUEST_TIMEOUT"]);
});

describe("a wrong value is said with what was found and what was wanted", () => {
  test.each<[string, string, RegExp]>([
    ["POSTHORN_REQUEST_TIMEOUT", "10", /found "10", wanted a duration such as 250ms, 10s, 5m, 2h or 30d/],
    ["POSTHORN_REQUEST_TIMEOUT", "0s", /found "0s", wanted at least 1ms/],
    ["POSTHORN_REQUEST_TIMEOUT", "", /wanted a duration/],
    ["POSTHORN_RETRY_SCHEDULE", "5s,soon", /wanted a duration/],
    ["POSTHORN_RETRY_SCHEDULE", Array.from({ length: 51 }, () => "1s").join(), /wanted at most 50 delays/],
    ["POSTHORN_HTTP_PORT", "http", /wanted a whole number of 0 to 65535/],
    ["POSTHORN_HTTP_PORT", "65536", /wanted a whole number of 0 to 65535/],
    ["POSTHORN_STREAM_REPLICAS", "0", /wanted a whole number of 1 to 5/],
    ["POSTHORN_LOG_LEVEL", "loud", /wanted one of trace, debug, info/],
    ["POSTHORN_SUBJECT_PREFIX", "a.b", /wanted 1 to 32 letters/],
    ["POSTHORN_HEADER_PREFIX", "Webhook", /wanted a header name's beginning such as Sentry-Hook, and not webhook/],
    ["POSTHORN_REDIS_KEY_PREFIX", "posthorn:{a}", /wanted 1 to 64 letters/],
    ["POSTHORN_TARGET_ALLOW", "10.0.0.0/33", /10\.0\.0\.0\/33 is invalid/],
    ["POSTHORN_TARGET_ALLOW", "everything", /everything is invalid/],
    ["POSTHORN_TARGET_ALLOW", "*", /\* is invalid/],
    ["POSTHORN_TARGET_ALLOW", "*.*.example", /\*\.\*\.example is invalid/],
    ["POSTHORN_TARGET_ALLOW", "https://hooks.example/", /https:\/\/hooks\.example\/ is invalid/],
    ["POSTHORN_TARGET_ALLOW", "hooks.example:443", /hooks\.example:443 is invalid/],
    ["POSTHORN_TARGET_ALLOW", "10.0.0", /10\.0\.0 is invalid/],
    ["POSTHORN_TARGET_ALLOW", "fe80::1%eth0", /fe80::1%eth0 is invalid/],
    ["POSTHORN_TARGET_DENY", "10.0.0.0/8/8", /10\.0\.0\.0\/8\/8 is invalid/],
    ["POSTHORN_TARGET_DNS_SERVERS", "dns.example", /dns\.example is invalid/],
    ["POSTHORN_TARGET_DNS_SERVERS", "127.0.0.1:99999", /127\.0\.0\.1:99999 is invalid/],
    ["POSTHORN_TARGET_PORTS", "0", /wanted ports of 1 to 65535 and ranges such as 8000-8999, separated by commas; 0 is invalid/],
    ["POSTHORN_TARGET_PORTS", "443,9000-8000", /9000-8000 is invalid/],
    ["POSTHORN_TARGET_PORTS", "65536", /65536 is invalid/],
    ["POSTHORN_TARGET_PORTS", "", /wanted at least one/],
    ["POSTHORN_APPS_FILE", "", /found "", wanted a readable file/],
    ["POSTHORN_NATS_CREDS_FILE", "/nowhere\n/creds", /wanted a readable file \(ENOENT.*\\u000a/],
    ["POSTHORN_PROCESSES", "some", /wanted auto, or a whole number of 1 to 256/],
    ["POSTHORN_BROKEN_RULES", "", /wanted at least one/],
    ["POSTHORN_BROKEN_RULES", "none,fatal", /wanted at least one, or none alone/],
    ["POSTHORN_METRICS_APPS", "-1", /wanted a whole number of \d/],
    ["POSTHORN_TARGET_SCHEMES", "ftp", /wanted one of http, https/],
    ["POSTHORN_TARGET_SCHEMES", "", /wanted at least one/],
    ["POSTHORN_TARGET_TLS_MIN_VERSION", "TLSv1.1", /wanted one of TLSv1.2, TLSv1.3/],
    ["POSTHORN_TARGET_CA_FILE", "/nowhere/ca.pem", /found "\/nowhere\/ca.pem", wanted a readable file \(ENOENT/],
    ["POSTHORN_TARGET_CA_FILE", PACKAGE, /wanted a file with certificates in PEM form/],
    ["POSTHORN_NATS_KEY_FILE", PACKAGE, /wanted a file with a private key in PEM form/],
    ["POSTHORN_MAX_EVENT_SIZE", "1MB", /wanted a size such as 500B, 64KiB or 1MiB/],
    ["POSTHORN_HTTP_MAX_HEADER_SIZE", "1023B", /wanted at least 1KiB/],
    ["POSTHORN_HTTP_RATE_LIMIT", "0", /wanted a whole number of 1 or more$/],
    ["POSTHORN_URL", "localhost", /wanted a URL such as http:/],
    ["POSTHORN_DEFAULT_ACTOR", "[]", /wanted a JSON object/],
    ["POSTHORN_REQUEST_TIMEOUT", "30d", /wanted at most 1h/],
    ["POSTHORN_MAX_PARKED_AGE", "99999999999d", /wanted at most 3650d/],
    ["POSTHORN_NATS_URL", "http://x", /wanted a URL such as nats:/],
    ["POSTHORN_NATS_URL", "ws://x:80", /wanted a URL such as nats:/],
    [
      "POSTHORN_NATS_URL",
      "nats://x:4222/s3cret",
      /: found a path, a query or a fragment behind a server, wanted URLs such as nats:\/\/host:port$/,
    ],
    ["POSTHORN_NATS_URL", "nats://x/, tls://y?tls=s3cret", /found a path, a query or a fragment/],
    ["POSTHORN_NATS_URL", "nats://x#s3cret", /found a path, a query or a fragment/],
    ["POSTHORN_BROKEN_ACTION", "stop", /wanted one of park, deliver/],
    ["POSTHORN_BROKEN_RULES", "fatal,all", /wanted one of fatal, failing_days/],
  ])("%s=%s", (name, value, message) => {
    const [only, ...rest] = problems({ [name]: value });
    expect(rest).toEqual([]);
    expect(only).toMatch(message);
    expect(only).toContain(name);
  });

  test("an unknown one with the name that was probably meant", () => {
    expect(problems({ POSTHORN_LOG_LEVL: "debug" })).toEqual(["POSTHORN_LOG_LEVL: no such setting, did you mean POSTHORN_LOG_LEVEL?"]);
    expect(problems({ POSTHORN_SOMETHING_ELSE_ENTIRELY: "1" })).toEqual(["POSTHORN_SOMETHING_ELSE_ENTIRELY: no such setting"]);
  });

  test.each(["5s,,6s", ",5s", "5s,", ","])("a list with nothing between two commas or at an end: %s", (list) => {
    expect(problems({ POSTHORN_RETRY_SCHEDULE: list })).toEqual([
      expect.stringMatching(/^POSTHORN_RETRY_SCHEDULE: .*nothing between two commas/),
    ]);
  });

  test("settings that contradict each other", () => {
    expect(problems({ POSTHORN_HTTP_HOST: "0.0.0.0" })[0]).toMatch(/without POSTHORN_API_TOKENS/);
    expect(problems({ POSTHORN_HTTP_HOST: "0.0.0.0", POSTHORN_FOO: "1" })).toEqual([
      expect.stringMatching(/^POSTHORN_FOO: no such setting/),
      expect.stringMatching(/without POSTHORN_API_TOKENS/),
    ]);
    expect(problems({ POSTHORN_CIRCUIT_OPEN_TIME: "1h" })[0]).toBe(
      "POSTHORN_CIRCUIT_MAX_OPEN_TIME: found 10m, wanted at least POSTHORN_CIRCUIT_OPEN_TIME, 1h",
    );
    expect(() => loadConfig({ POSTHORN_HTTP_HOST: "0.0.0.0", POSTHORN_API_TOKENS: "admin:sixteen-or-more!" })).not.toThrow();
    expect(problems({ POSTHORN_TEST_CLOCK: "/tmp/clock", NODE_ENV: "production" })[0]).toMatch(
      /^POSTHORN_TEST_CLOCK: set together with NODE_ENV=production/,
    );
    expect(loadConfig({ POSTHORN_TEST_CLOCK: "/tmp/clock", NODE_ENV: "test" }).testClock).toBe("/tmp/clock");
    const authority = makeAuthority();
    const pem = authority.certFile;
    expect(problems({ POSTHORN_NATS_CERT_FILE: pem })).toEqual([
      "POSTHORN_NATS_CERT_FILE, POSTHORN_NATS_KEY_FILE: found one of them, wanted both or none",
    ]);
    expect(problems({ POSTHORN_REDIS_CA_FILE: pem })).toEqual(["POSTHORN_REDIS_URL: found files for TLS and no TLS, wanted rediss://…"]);
    expect(loadConfig({ POSTHORN_REDIS_CA_FILE: pem, POSTHORN_REDIS_URL: "rediss://h" }).redisCaFile).toContain("BEGIN");
    const cut = join(folder, "cut.pem");
    writeFileSync(cut, authority.cert + authority.cert.replace(/MII.*/, "MII"));
    expect(problems({ POSTHORN_TARGET_CA_FILE: cut })[0]).toMatch(/certificates in PEM form; certificate 2 can't be read/);
    authority.remove();
  });
});

test("a process for each core is never more than may be set", ({ onTestFinished }) => {
  const { availableParallelism } = os;
  onTestFinished(() => {
    os.availableParallelism = availableParallelism;
    syncBuiltinESMExports();
  });
  const processesOn = (cores: number): number => {
    os.availableParallelism = () => cores;
    syncBuiltinESMExports();
    return loadConfig({ POSTHORN_PROCESSES: "auto" }).processes;
  };
  expect([processesOn(3), processesOn(384)]).toEqual([3, 256]);
});

test("several Redis URLs are a cluster, whose nodes are connected to in one way", () => {
  const redis = (url: string): readonly string[] => problems({ POSTHORN_REDIS_URL: url });
  for (const url of ["redis://u:p@a:6379, redis://u:p@b:6380/0", "redis://a/2"])
    expect(loadConfig({ POSTHORN_REDIS_URL: url }).redisUrl).toBe(url);
  expect(redis("redis://a,redis://b/2")).toEqual(["POSTHORN_REDIS_URL: wanted no database number: a cluster has only 0"]);
  for (const url of ["redis://a,rediss://b", "redis://u:p@a,redis://u:q@b", "redis://u:p@a,redis://b"])
    expect(redis(url)).toEqual(["POSTHORN_REDIS_URL: wanted one scheme, user and password for all nodes of a cluster"]);
});

describe("secrets", () => {
  test("come from a file too", () => {
    const file = join(folder, "tokens");
    writeFileSync(file, "admin:from-the-secret-file\n");
    expect(loadConfig({ POSTHORN_API_TOKENS_FILE: file }).apiTokens).toEqual([
      { scope: "admin", name: null, token: "from-the-secret-file" },
    ]);
  });

  test.each([
    ["x", /found a token of 1 characters, wanted at least 16/],
    ["fifteen-letters", /found a token of 15 characters, wanted at least 16/],
    ["change-me", /found a token of 9 characters, wanted at least 16/],
    ["change-me-change-me-change-me", /found the token of an example, wanted one of your own/],
  ])("that are API tokens can't be guessed: %s is refused without being shown", (token, message) => {
    const [problem = "", ...others] = problems({ POSTHORN_API_TOKENS: `read:sixteen-letters-,admin:${token}` });
    expect([problem, others]).toEqual([expect.stringMatching(message), []]);
    expect(problem).toMatch(/^POSTHORN_API_TOKENS: /);
    if (token.length > 1) expect(problem).not.toContain(token);
  });

  test("given twice are a problem", () => {
    expect(problems({ POSTHORN_API_TOKENS: "admin:sixteen-or-more!", POSTHORN_API_TOKENS_FILE: "/x" })).toEqual([
      "POSTHORN_API_TOKENS: set together with POSTHORN_API_TOKENS_FILE, wanted only one of them",
    ]);
  });

  test("in a file that can't be read are a problem", () => {
    expect(problems({ POSTHORN_ENCRYPTION_KEY_FILE: join(folder, "nowhere") })[0]).toMatch(
      /POSTHORN_ENCRYPTION_KEY_FILE: can't read .*ENOENT/,
    );
  });

  test("are never part of a message", () => {
    const secret = "hunter2-hunter2";
    const lines = problems({
      POSTHORN_API_TOKENS: `root:${secret}`,
      POSTHORN_ENCRYPTION_KEY: secret,
      POSTHORN_REDIS_URL: `http://u:${secret}@h`,
      POSTHORN_NATS_URL: secret,
    });
    expect(lines).toHaveLength(4);
    expect(lines.join()).not.toContain(secret);
  });

  test("a proxy's URL is one URL of http:, and not part of a message", () => {
    for (const url of ["http://u:hunter2-hunter2@p:3128,http://q", "https://u:hunter2-hunter2@p", "http://u:hunter2-hunter2@p/path"]) {
      const [only = ""] = problems({ POSTHORN_TARGET_PROXY: url });
      expect(only).toMatch(/^POSTHORN_TARGET_PROXY: wanted (one|a) URL such as http:/);
      expect(only).not.toContain("hunter2");
    }
    expect(loadConfig({ POSTHORN_TARGET_PROXY: "http://u:p@proxy:3128" }).targetProxy).toBe("http://u:p@proxy:3128");
  });

  test("encryption keys have an id each, and previous ones come with a current one", () => {
    const [a, b] = ["aa", "bb"].map((byte) => byte.repeat(32));
    expect(loadConfig({ POSTHORN_ENCRYPTION_KEY: `k2:${a}`, POSTHORN_ENCRYPTION_KEY_PREVIOUS: `k1:${b}, k0:${b}` })).toMatchObject({
      encryptionKey: { id: "k2" },
      encryptionKeyPrevious: [{ id: "k1" }, { id: "k0" }],
    });
    expect(problems({ POSTHORN_ENCRYPTION_KEY: `${a}`, POSTHORN_ENCRYPTION_KEY_PREVIOUS: `${b}` })).toEqual([
      "POSTHORN_ENCRYPTION_KEY, POSTHORN_ENCRYPTION_KEY_PREVIOUS: found key id 1 twice, wanted an id for each key",
    ]);
    expect(problems({ POSTHORN_ENCRYPTION_KEY_PREVIOUS: `k1:${b}` })).toEqual([
      "POSTHORN_ENCRYPTION_KEY_PREVIOUS: found without POSTHORN_ENCRYPTION_KEY, wanted both",
    ]);
  });

  test("an encryption key is 32 bytes in hex or base64, with or without an id", () => {
    const key = Buffer.alloc(32, 7);
    expect(loadConfig({ POSTHORN_ENCRYPTION_KEY: key.toString("hex") }).encryptionKey).toEqual({ id: "1", key });
    expect(loadConfig({ POSTHORN_ENCRYPTION_KEY: `k2:${key.toString("base64")}` }).encryptionKey).toEqual({ id: "k2", key });
    expect(problems({ POSTHORN_ENCRYPTION_KEY: "short" })[0]).toMatch(/wanted 32 bytes/);
  });
});
