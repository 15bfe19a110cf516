/** The package as npm has it: packed, installed in an empty folder, and run with npx. */
import { isAscii } from "node:buffer";
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import { eventually } from "../support/eventually.ts";
import { plainEnvironment, type Server, startNatsServer, startRedisServer } from "../support/servers.ts";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "posthorn-package-"));
const plain = plainEnvironment();
const run = (command: string, args: readonly string[], cwd = folder) => {
  const { status, stdout, stderr } = spawnSync(command, args, { cwd, encoding: "utf8", env: plain });
  return { status, stdout, stderr };
};

let nats: Server;
let redis: Server;
let serving: ChildProcess | undefined;

/** npx hands signals on to a shell that keeps them: as at a terminal, the whole group is told. */
function signalServing(signal: NodeJS.Signals): void {
  if (serving?.pid !== undefined) process.kill(-serving.pid, signal);
}

/** Packing builds, which would take dist away from tests that run at the same time. */
function copyOfSources(): string {
  const copy = join(folder, "sources");
  const left = new Set(["node_modules", "dist", ".git", ".local", "test"].map((name) => join(ROOT, name)));
  cpSync(ROOT, copy, { recursive: true, filter: (path) => !left.has(path) });
  symlinkSync(join(ROOT, "node_modules"), join(copy, "node_modules"));
  return copy;
}

beforeAll(async () => {
  [nats, redis] = await Promise.all([startNatsServer(), startRedisServer()]);
  const packed = run("npm", ["pack", "--pack-destination", folder], copyOfSources());
  expect([packed.status, packed.stderr]).toEqual([0, expect.any(String)]);
  writeFileSync(join(folder, "package.json"), JSON.stringify({ private: true, type: "module" }));
  const tarball = readdirSync(folder).find((name) => name.endsWith(".tgz")) ?? "no tarball";
  const installed = run("npm", ["install", "--no-audit", "--no-fund", "--prefer-offline", "--loglevel=error", `./${tarball}`]);
  expect([installed.status, installed.stderr]).toEqual([0, ""]);
});
afterAll(async () => {
  signalServing("SIGKILL");
  await Promise.all([nats.stop(), redis.stop()]);
  rmSync(folder, { recursive: true, force: true });
});

test("npx posthorn shows its version and its commands", () => {
  expect(run("npx", ["posthorn", "--version"]).stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
  expect(run("npx", ["posthorn", "help"]).stdout).toContain("posthorn <command>");
});

test("npx posthorn serve runs the service, which the command line finds, until it gets a signal", async () => {
  serving = spawn("npx", ["posthorn", "serve"], {
    cwd: folder,
    detached: true,
    env: { ...plain, POSTHORN_NATS_URL: nats.url, POSTHORN_REDIS_URL: redis.url, POSTHORN_HTTP_PORT: "0" },
  });
  let printed = "";
  serving.stdout?.on("data", (chunk: Buffer) => {
    printed += chunk.toString();
  });
  const url = await eventually(() => /"url":"([^"]+)".*Posthorn is ready/.exec(printed)?.[1]);
  const apps = run("npx", ["posthorn", "apps", "--url", url]);
  expect([apps.status, apps.stdout]).toEqual([0, "No apps yet: posthorn apps add\n"]);
  signalServing("SIGTERM");
  await eventually(() => printed.includes('"message":"stopped"'));
  serving = undefined;
});

test("what it exports can be imported, and its types are checked by the compiler of its user", () => {
  writeFileSync(
    join(folder, "user.ts"),
    `import { type App, createApiClient } from "posthorn/api";
     import { createPublisher, subscribeStatus, verifyWebhook } from "posthorn/client";
     const client = createApiClient({ url: "http://127.0.0.1:1" });
     export async function use(): Promise<App> {
       for await (const row of client.items("GET /v1/apps/{slug}/webhook-requests", { path: { slug: "x" }, query: { errors_only: true } }))
         console.log(row.outcome, row.response_code);
       // @ts-expect-error There is no such call.
       await client.call("GET /v1/nothing");
       // @ts-expect-error A slug is wanted.
       await client.call("GET /v1/apps/{slug}");
       return (await client.call("GET /v1/apps/{slug}", { path: { slug: "x" } })).body;
     }
     console.log([createApiClient, createPublisher, subscribeStatus, verifyWebhook].every((made) => typeof made === "function"));`,
  );
  const types = join(ROOT, "node_modules/@types");
  const options = ["--noEmit", "--strict", "--module", "nodenext", "--target", "es2024", "--types", "node", "--typeRoots", types];
  expect(run(join(ROOT, "node_modules/.bin/tsc"), [...options, "user.ts"])).toEqual({ status: 0, stdout: "", stderr: "" });
  expect(run(process.execPath, ["user.ts"]).stdout).toBe("true\n");
});

test("under an older Node it says which one it wants, and how to get it", (context) => {
  const older = (process.env["PATH"] ?? "")
    .split(":")
    .map((path) => join(path, "node"))
    .find((path) => /^v(1\d|2[0-3])\./.test(run(path, ["--version"]).stdout ?? ""));
  if (older === undefined) return context.skip("there is no older Node on this machine");
  const { status, stderr } = run(older, ["node_modules/posthorn/dist/main.js", "apps"]);
  expect([status, stderr]).toEqual([78, expect.stringMatching(/needs Node 24 or newer[\s\S]*"npx posthorn" in a clone after "npm ci"/)]);
  // The name is not published: whoever has it in a registry is somebody else.
  expect(stderr).not.toMatch(/--package posthorn/);
});

test("holds a program of ASCII characters, of which Node keeps one byte each, and only the parts of undici that are used", () => {
  const chunks = join(folder, "node_modules/posthorn/dist/chunks");
  const texts = readdirSync(chunks)
    .filter((name) => name.endsWith(".js"))
    .map((name) => readFileSync(join(chunks, name)));
  expect(texts.length).toBeGreaterThan(5);
  expect(texts.filter((text) => !isAscii(text))).toEqual([]);
  expect(texts.filter((text) => text.includes("WebSocketStream"))).toEqual([]);
});

test("holds the program and nothing of the tests, and nothing that is only for building", () => {
  const names = readdirSync(join(folder, "node_modules/posthorn"), { recursive: true }).map(String);
  expect(names).toContain("dist/main.js");
  expect(names.filter((name) => /\.test\.|(^|\/)(test|bench|src)\//.test(name))).toEqual([]);
  expect(readdirSync(join(folder, "node_modules"))).not.toContain("vitest");
});
