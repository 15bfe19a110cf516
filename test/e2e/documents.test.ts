/** Every command in the README, the tutorial and the other documents does what the document says. */
import { execFileSync } from "node:child_process";
import { chmodSync, globSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import { clientPython, PYTHON_CLIENT } from "../../scripts/client-toolchains.mjs";
import { findBinary } from "../../scripts/servers.mjs";
import { blocksOf, runDocument } from "../support/document.ts";
import { eventually } from "../support/eventually.ts";
import { connectBus, MAIN, type Posthorn, startPosthornHere } from "../support/posthorn.ts";
import { startReceiver } from "../support/receiver.ts";
import { freePort, plainEnvironment, type Server, startNatsServer, startRedisServer } from "../support/servers.ts";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
/** Documents with a test of their own below, or with commands for other programs. */
const APART = ["docs/tutorial.md", "docs/backup.md", "docs/bus.md", "docs/webhooks.md"];
const runnable = (file: string) => blocksOf(join(ROOT, file)).filter(({ notRun }) => notRun === null);
const GUIDES = globSync("docs/*.md", { cwd: ROOT }).filter((file) => !APART.includes(file) && runnable(file).length > 0);
const UUID = "0f3c1d2e-5b6a-4c7d-8e9f-0a1b2c3d4e5f";
const TOKEN = "admin-token-12345";
const TOKENS = { POSTHORN_TOKEN: TOKEN, POSTHORN_API_TOKENS: `admin:${TOKEN}` };
const AUTHORIZATION = { authorization: `Bearer ${TOKEN}` };
const folder = mkdtempSync(join(tmpdir(), "posthorn-documents-"));

let nats: Server;
let redis: Server;

function writeCommand(name: string, script: string): void {
  writeFileSync(join(folder, name), `#!/bin/sh\n${script}\n`);
  chmodSync(join(folder, name), 0o755);
}

beforeAll(async () => {
  [nats, redis] = await Promise.all([startNatsServer(), startRedisServer()]);
  // npx as it is in a clone after the build; that it works in an installed package is tested with the package.
  writeCommand("npx", `[ "$1" = posthorn ] && shift && exec "${process.execPath}" "${MAIN}" "$@"\nexit 64`);
  for (const name of ["nats-server", "redis-server"]) {
    const binary = name === "nats-server" ? (process.env["TEST_NATS_SERVER"] ?? findBinary(name)) : findBinary(name);
    writeCommand(name, `exec "${binary}" "$@"`);
  }
});
afterAll(async () => {
  await Promise.all([nats.stop(), redis.stop()]);
  rmSync(folder, { recursive: true, force: true });
});

/** The document's addresses, and those that this test has. */
async function surroundings(prefix: string, url?: string, servers = { nats, redis }) {
  const ports = await Promise.all([freePort(), freePort(), freePort(), freePort(), freePort()]);
  const [service, second, receiver, restoredNats, restoredRedis] = ports.map(String) as [string, string, string, string, string];
  const inherited = plainEnvironment();
  return {
    cwd: ROOT,
    environment: {
      ...inherited,
      PATH: [folder, process.env["PATH"]].join(delimiter),
      NATS_URL: servers.nats.url,
      POSTHORN_NATS_URL: servers.nats.url,
      POSTHORN_REDIS_URL: servers.redis.url,
      POSTHORN_SUBJECT_PREFIX: prefix,
      POSTHORN_HTTP_PORT: service,
      POSTHORN_URL: url ?? `http://127.0.0.1:${service}`,
    },
    replace: [
      ["localhost:8080", new URL(url ?? `http://127.0.0.1:${service}`).host],
      ["127.0.0.1:3000", `127.0.0.1:${receiver}`],
      ["PORT=3000", `PORT=${receiver}`],
      ["--port 3000", `--port ${receiver}`],
      ["8081", second],
      ["4333", restoredNats],
      ["6390", restoredRedis],
      ["127.0.0.1:4222", new URL(servers.nats.url).host],
      ["127.0.0.1:6379", new URL(servers.redis.url).host],
      ["app-platform", prefix],
      ["APP_PLATFORM", prefix.toUpperCase().replaceAll("-", "_")],
      ["/tmp/", `${folder}/`],
    ] as Array<[string, string]>,
  };
}

/** An app that a success, a 400 and a 410 have happened to, as the documents assume. */
async function letThingsHappen(posthorn: Posthorn, servers: { nats: Server }) {
  const receiver = await startReceiver((request, response) => {
    const { data } = request.json();
    response.writeHead(typeof data["status"] === "number" ? data["status"] : 200).end();
  });
  await posthorn.api("PUT", "/v1/apps/acme-tracker", { webhook_url: receiver.url, events: ["*"] }, AUTHORIZATION);
  await posthorn.api("PUT", `/v1/installations/${UUID}`, { app: "acme-tracker", organization_id: "42" }, AUTHORIZATION);
  const bus = await connectBus(servers.nats, posthorn.prefix);
  for (const [at, status] of [200, 400, 410].entries()) {
    await bus.publish("issue.created", { id: `evt-${at}`, organization_id: "42", data: { status } });
    await receiver.waitFor(at + 1);
  }
  await bus.close();
  await eventually(async () => (await posthorn.api("GET", `/v1/installations/${UUID}`, undefined, AUTHORIZATION)).body.status === "broken");
  return receiver;
}

test("every document with commands is run, and those that are not say why", () => {
  for (const file of ["README.md", "docs/tutorial.md", "docs/backup.md", ...GUIDES]) {
    const blocks = blocksOf(join(ROOT, file));
    expect(blocks.length, file).toBeGreaterThan(0);
    for (const { notRun } of blocks) expect(notRun ?? "a reason in some words", file).toMatch(/\w+ \w+/);
  }
  expect(GUIDES).toEqual(
    expect.arrayContaining(
      ["configuration", "migrate", "operations", "request-log", "retention", "scaling", "security"].map((name) => `docs/${name}.md`),
    ),
  );
});

test.concurrent("the README leads from a start to an answer", async () => {
  const said = await runDocument(join(ROOT, "README.md"), await surroundings("doc-readme"));
  expect(said).toMatch(/signature right/);
  expect(said).toMatch(/my-app +delivered/);
});

test.concurrent("the tutorial leads from nothing over a retry and a dead letter to a verified webhook in each language", async () => {
  // Its programs use the default prefix.
  const servers = { nats, redis: await startRedisServer() };
  const { environment, replace, ...more } = await surroundings("app-platform", undefined, servers);
  const python = clientPython();
  const said = await runDocument(join(ROOT, "docs/tutorial.md"), {
    ...more,
    environment: { ...environment, PYTHONPATH: join(PYTHON_CLIENT, "src"), PYTHONDONTWRITEBYTECODE: "1" },
    replace: [...replace, [".local/tutorial/bin/python", python ?? "no Python"]],
    has: (needed) => (needed === "the Python client" ? python !== null : findBinary(needed) !== null),
  });
  expect(said).toContain("signature right");
  expect(said).toMatch(/tracker +delivered/);
  expect(said).toMatch(/answered with status 503/);
  expect(said).toMatch(/delivery\.exhausted/);
  expect(said).toMatch(/tracker +dead_letter/);
  expect(said).toMatch(/test\.ping dlv_/);
  if (python !== null) {
    expect(said).toMatch(/stored as APP_PLATFORM_EVENTS \d+/);
    expect(said).toMatch(/integration\.broken tracker \{'rule': 'fatal'/);
  }
  await servers.redis.stop();
});

/** What is so after the commands of a document, because it says so. */
const PROMISED: Readonly<Record<string, (store: Server) => void>> = {
  "docs/retention.md": ({ url }) => {
    expect(
      execFileSync(findBinary("redis-cli") ?? "", ["-u", url, "--scan", "--pattern", "posthorn:*{*"], { encoding: "utf8" })
        .split("\n")
        .filter((key) => key.includes("{acme-tracker}") || key.includes(`{${UUID}}`)),
    ).toEqual([]);
  },
};

test.concurrent.each(GUIDES)("the commands of %s work", async (file) => {
  // All of them have the same events for the same installation: what was delivered for another document would be skipped.
  const servers = { nats, redis: await startRedisServer() };
  const prefix = `doc-${file.replace(/.*\/|\.md$/g, "")}`;
  const posthorn = await startPosthornHere({ ...servers, prefix, settings: { POSTHORN_API_TOKENS: TOKENS.POSTHORN_API_TOKENS } });
  const receiver = await letThingsHappen(posthorn, servers);
  const { environment, ...more } = await surroundings(prefix, posthorn.url, servers);
  await runDocument(join(ROOT, file), { ...more, environment: { ...environment, ...TOKENS } });
  PROMISED[file]?.(servers.redis);
  await posthorn.end();
  await Promise.all([servers.redis.stop(), receiver.stop()]);
});

test.concurrent("a backup made as docs/backup.md says has everything in it", async () => {
  const servers = { nats: await startNatsServer(), redis: await startRedisServer() };
  const settings = { POSTHORN_API_TOKENS: TOKENS.POSTHORN_API_TOKENS, POSTHORN_HTTP_PORT: String(await freePort()) };
  const start = () => startPosthornHere({ ...servers, prefix: "doc-backup", settings });
  let posthorn = await start();
  const receiver = await letThingsHappen(posthorn, servers);

  // systemctl for the two units that the document names, which are this test's.
  const actions: Record<string, () => Promise<unknown>> = {
    "/stop/posthorn": () => posthorn.end(),
    "/start/posthorn": async () => {
      posthorn = await start();
    },
    "/stop/nats-server": () => servers.nats.kill("SIGTERM"),
    "/start/nats-server": () => servers.nats.restart(),
  };
  const manager = createServer((request, response) => {
    const act = actions[request.url ?? ""];
    if (act === undefined) return void response.writeHead(404).end();
    act().then(
      () => response.end(),
      (error: unknown) => response.writeHead(500).end(String(error)),
    );
  });
  await new Promise<void>((resolve) => manager.listen(0, "127.0.0.1", resolve));
  const managerUrl = `http://127.0.0.1:${(manager.address() as AddressInfo).port}`;
  writeCommand(
    "systemctl",
    `action=$1; shift; for unit in "$@"; do curl --fail --silent --show-error ${managerUrl}/$action/$unit || exit 1; done`,
  );
  writeCommand("sudo", 'exec "$@"');

  const { environment, ...more } = await surroundings("doc-backup", posthorn.url, servers);
  const said = await runDocument(join(ROOT, "docs/backup.md"), {
    ...more,
    environment: { ...environment, ...TOKENS, NATS_STORE: join(servers.nats.folder, "jetstream") },
  });
  // Of the restored stores: apps, installations, dead letters, requests.
  expect(said).toMatch(/^acme-tracker /m);
  expect(said).toMatch(new RegExp(`^${UUID} `, "m"));
  expect(said).toMatch(/rejected/);

  const exported = join(folder, "posthorn-backup", "apps.yaml");
  const imported = await startPosthornHere({
    ...servers,
    prefix: "doc-imported",
    settings: { ...settings, POSTHORN_HTTP_PORT: "0", POSTHORN_APPS_FILE: exported },
  });
  expect((await imported.api("GET", `/v1/installations/${UUID}`, undefined, AUTHORIZATION)).body).toMatchObject({
    app: "acme-tracker",
    status: "active",
  });

  await Promise.all([imported.end(), posthorn.end(), receiver.stop()]);
  manager.close();
  await Promise.all([servers.nats.stop(), servers.redis.stop()]);
});
