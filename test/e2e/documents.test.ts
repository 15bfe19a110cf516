/** Every command in the README, the tutorial and the guides does what the document says. */
import { chmodSync, globSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import { clientPython, PYTHON_CLIENT } from "../../scripts/client-toolchains.mjs";
import { findBinary } from "../../scripts/servers.mjs";
import { blocksOf, runDocument } from "../support/document.ts";
import { eventually } from "../support/eventually.ts";
import { connectBus, MAIN, startPosthorn } from "../support/posthorn.ts";
import { startReceiver } from "../support/receiver.ts";
import { freePort, type Server, startNatsServer, startRedisServer } from "../support/servers.ts";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const GUIDES = globSync("docs/guides/*.md", { cwd: ROOT });
const UUID = "0f3c1d2e-5b6a-4c7d-8e9f-0a1b2c3d4e5f";
const TOKEN = "admin-token-12345";
const folder = mkdtempSync(join(tmpdir(), "posthorn-documents-"));

let nats: Server;
let redis: Server;

beforeAll(async () => {
  [nats, redis] = await Promise.all([startNatsServer(), startRedisServer()]);
  // npx as it is where the package is installed; that it is found there is tested with the package.
  writeFileSync(join(folder, "npx"), `#!/bin/sh\n[ "$1" = posthorn ] && shift && exec "${process.execPath}" "${MAIN}" "$@"\nexit 64\n`);
  chmodSync(join(folder, "npx"), 0o755);
});
afterAll(async () => {
  await Promise.all([nats.stop(), redis.stop()]);
  rmSync(folder, { recursive: true, force: true });
});

/** The document's addresses, and those that this test has. */
async function surroundings(prefix: string, url?: string) {
  const [service, second, receiver] = await Promise.all([freePort(), freePort(), freePort()]);
  const inherited = Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^(POSTHORN|OTEL|npm)_/.test(name)));
  return {
    cwd: ROOT,
    environment: {
      ...inherited,
      PATH: [folder, process.env["PATH"]].join(delimiter),
      POSTHORN_NATS_URL: nats.url,
      POSTHORN_REDIS_URL: redis.url,
      POSTHORN_SUBJECT_PREFIX: prefix,
      POSTHORN_HTTP_PORT: String(service),
      POSTHORN_URL: url ?? `http://127.0.0.1:${service}`,
    },
    replace: [
      ["localhost:8080", new URL(url ?? `http://127.0.0.1:${service}`).host],
      ["127.0.0.1:3000", `127.0.0.1:${receiver}`],
      ["PORT=3000", `PORT=${receiver}`],
      ["--port 3000", `--port ${receiver}`],
      ["8081", String(second)],
      ["127.0.0.1:4222", new URL(nats.url).host],
      ["127.0.0.1:6379", new URL(redis.url).host],
      ["app-platform.", `${prefix}.`],
      ["/tmp/", `${folder}/`],
    ] as Array<[string, string]>,
  };
}

test("every document has commands, and those that are not run say why", () => {
  for (const file of ["README.md", "docs/tutorial.md", ...GUIDES]) {
    const blocks = blocksOf(join(ROOT, file));
    expect(blocks.length, file).toBeGreaterThan(0);
    for (const { notRun } of blocks) expect(notRun ?? "a reason in some words", file).toMatch(/\w+ \w+/);
  }
  expect(GUIDES.length).toBeGreaterThan(4);
});

test("the README leads from a start to an answer", async () => {
  const said = await runDocument(join(ROOT, "README.md"), await surroundings("doc-readme"));
  expect(said).toMatch(/signature right/);
  expect(said).toMatch(/my-app +delivered/);
});

test("the tutorial leads from nothing to a verified webhook in each language", async () => {
  // Its programs are those of a platform with the default prefix.
  const { environment, replace, ...more } = await surroundings("app-platform");
  const python = clientPython();
  const said = await runDocument(join(ROOT, "docs/tutorial.md"), {
    ...more,
    environment: { ...environment, PYTHONPATH: join(PYTHON_CLIENT, "src"), PYTHONDONTWRITEBYTECODE: "1" },
    replace: [...replace, [".local/tutorial/bin/python", python ?? "no Python"]],
    has: (needed) => (needed === "the Python client" ? python !== null : findBinary(needed) !== null),
  });
  expect(said).toContain("signature right");
  expect(said).toMatch(/my-app +delivered/);
  expect(said).toMatch(/answered with status 503/);
  expect(said).toMatch(/test\.ping dlv_/);
  if (python !== null) {
    expect(said).toMatch(/stored as APP_PLATFORM_EVENTS \d+/);
    expect(said).toMatch(/integration\.broken my-app \{'rule': 'fatal'/);
  }
});

/** A service with an app that a 400 and a 410 have happened to, as guides talk of it. */
test.each(GUIDES)("the commands of %s work", async (file) => {
  const prefix = `doc-${file.replace(/.*\/|\.md$/g, "")}`;
  const receiver = await startReceiver((request, response) => {
    const { data } = request.json();
    response.writeHead(typeof data["status"] === "number" ? data["status"] : 200).end();
  });
  const posthorn = await startPosthorn({ nats, redis, prefix, settings: { POSTHORN_API_TOKENS: `admin:${TOKEN}` } });
  const authorization = { authorization: `Bearer ${TOKEN}` };
  await posthorn.api("PUT", "/v1/apps/acme-tracker", { webhook_url: receiver.url, events: ["*"] }, authorization);
  await posthorn.api("PUT", `/v1/installations/${UUID}`, { app: "acme-tracker", organization_id: "42" }, authorization);
  const bus = await connectBus(nats, prefix);
  for (const [id, status] of [
    ["evt-1", 400],
    ["evt-2", 410],
  ] as const) {
    await bus.publish("issue.created", { id, organization_id: "42", data: { status } });
    await eventually(() => receiver.requests.length >= (id === "evt-1" ? 1 : 2));
  }
  await eventually(async () => (await posthorn.api("GET", `/v1/installations/${UUID}`, undefined, authorization)).body.status === "broken");
  const { environment, ...more } = await surroundings(prefix, posthorn.url);
  const tokens = { POSTHORN_TOKEN: TOKEN, POSTHORN_API_TOKENS: `admin:${TOKEN}` };
  await runDocument(join(ROOT, file), { ...more, environment: { ...environment, ...tokens } });
  await bus.close();
  await posthorn.end();
  await receiver.stop();
});
