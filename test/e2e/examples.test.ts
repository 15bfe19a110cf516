/** The receivers under examples/, each in its language, against the real service. */
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { createHmac, type Hmac } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { clientPython, PYTHON_CLIENT } from "../../scripts/client-toolchains.mjs";
import { findBinary } from "../../scripts/servers.mjs";
import { eventually } from "../support/eventually.ts";
import { connectBus, type Posthorn, startPosthornHere } from "../support/posthorn.ts";
import { freePort, noteChild, type Server, startNatsServer, startRedisServer } from "../support/servers.ts";

const EXAMPLES = fileURLToPath(new URL("../../examples/", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "posthorn-examples-"));

let nats: Server;
let redis: Server;
let posthorn: Posthorn;

beforeAll(async () => {
  [nats, redis] = await Promise.all([startNatsServer(), startRedisServer()]);
  posthorn = await startPosthornHere({ nats, redis });
});
afterAll(async () => {
  await posthorn.end();
  await Promise.all([nats.stop(), redis.stop()]);
  rmSync(folder, { recursive: true, force: true });
});

/** @returns the command that runs it, or null when its language is not on this machine. */
type Prepare = () => Promise<[command: string, ...args: string[]] | null>;

/** A receiver that uses the Python client, with the packages that its tests have. */
const withClient =
  (file: string): Prepare =>
  async () => {
    const python = clientPython();
    return python === null ? null : ["env", `PYTHONPATH=${join(PYTHON_CLIENT, "src")}`, python, "-B", join(EXAMPLES, "receive", file)];
  };

const RECEIVERS: Array<[language: string, prepare: Prepare]> = [
  ["Node", async () => [process.execPath, join(EXAMPLES, "receive/receive.mjs")]],
  ["Node with posthorn/client", async () => [process.execPath, join(EXAMPLES, "receiver/main.ts")]],
  ["Python", async () => (findBinary("python3") === null ? null : ["python3", join(EXAMPLES, "receive/receive.py")])],
  ["Python with FastAPI", withClient("receive_fastapi.py")],
  ["Python with Django", withClient("receive_django.py")],
  [
    "Go",
    async () => {
      if (findBinary("go") === null) return null;
      const binary = join(folder, "receive");
      const built = await promisify(execFile)("go", ["build", "-o", binary, join(EXAMPLES, "receive/receive.go")]);
      expect(built.stderr).toBe("");
      return [binary];
    },
  ],
];

/** Requests of strangers: each answered, none believed. */
function hostile(secret: string): Array<{ headers: Record<string, string>; body?: string; wanted: number }> {
  const now = Math.floor(Date.now() / 1000);
  const signed = (id: string, timestamp: string, body: string, key = secret, form = (mac: Hmac) => `v1,${mac.digest("base64")}`) => ({
    headers: {
      "webhook-id": id,
      "webhook-timestamp": timestamp,
      "webhook-signature": form(createHmac("sha256", key).update(`${id}.${timestamp}.${body}`)),
    },
    body,
  });
  const vendor = createHmac("sha256", secret).update("{}").digest("hex");
  const right = signed("x", String(now), "{}").headers;
  return [
    { ...signed("x", String(now), "{}", "empty-key"), wanted: 401 },
    { ...signed("x", String(now - 301), "{}"), wanted: 401 },
    { ...signed("x", String(now + 302), "{}"), wanted: 401 },
    { ...signed("x", "", "{}"), wanted: 401 },
    { ...signed("x", `${now}.5`, "{}"), wanted: 401 },
    { ...signed("x", "\u00b2", "{}"), wanted: 401 },
    { ...signed("x", String(now), "{}", secret, (mac) => mac.digest("hex")), wanted: 401 },
    { ...signed("x", String(now), "{}", secret, (mac) => `v2,${mac.digest("base64")}`), wanted: 401 },
    { headers: { ...right, "webhook-signature": "v1," }, wanted: 401 },
    { headers: { ...right, "webhook-signature": "v1,\u00e9\u00ff v1" }, wanted: 401 },
    { headers: { ...right, "webhook-id": "y" }, wanted: 401 },
    { headers: { "sentry-hook-timestamp": String(now), "sentry-hook-signature": vendor }, wanted: 401 },
    { headers: right, body: "x".repeat(9 * 1024 * 1024), wanted: 413 },
  ];
}

/** What was sent of requests whose sender then went away. */
const ABORTED = [
  "POST /webhooks HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{",
  "POST /webhooks HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{",
  "POST /webhooks HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
  "POST /webh",
];

/** Resolves when the receiver has noticed. */
async function abort(port: number, bytes: string): Promise<void> {
  const socket = connect(port, "127.0.0.1");
  socket.on("error", () => {});
  socket.resume();
  const closed = new Promise((resolve) => socket.once("close", resolve));
  socket.end(bytes);
  await closed;
}

describe.each(RECEIVERS)("the receiver in %s", (language, prepare) => {
  test.each([
    ["unset", undefined],
    ["empty", ""],
    ["too short", "whsec_"],
  ])("does not start with a CLIENT_SECRET that is %s", async (_what, secret) => {
    const prepared = await prepare();
    if (prepared === null) return;
    const [command, ...args] = prepared;
    const { CLIENT_SECRET: _none, ...inherited } = process.env;
    const child = spawn(command, args, {
      env: { ...inherited, PORT: String(await freePort()), ...(secret === undefined ? {} : { CLIENT_SECRET: secret }) },
    });
    noteChild(child);
    let said = "";
    for (const stream of [child.stdout, child.stderr]) {
      stream.on("data", (chunk: Buffer) => {
        said += chunk.toString();
      });
    }
    const ended = new Promise((resolve) => child.once("close", resolve));
    await eventually(() => child.exitCode !== null || said.includes("listening"));
    child.kill("SIGKILL");
    expect([await ended, said]).toEqual([1, expect.stringContaining("CLIENT_SECRET")]);
  });

  test("takes what Posthorn signed, with the old secret and the new, and refuses everything else", async (context) => {
    const prepared = await prepare();
    if (prepared === null) return context.skip(`${language} is not on this machine`);
    const [command, ...args] = prepared;
    const port = await freePort();
    const url = `http://127.0.0.1:${port}/webhooks`;
    const { slug, clientSecret } = await posthorn.install({ webhook_url: url });
    const child: ChildProcess = spawn(command, args, { env: { ...process.env, CLIENT_SECRET: clientSecret, PORT: String(port) } });
    let said = "";
    for (const stream of [child.stdout, child.stderr]) {
      stream?.on("data", (chunk: Buffer) => {
        said += chunk.toString();
      });
    }
    const bus = await connectBus(nats, posthorn.prefix);
    try {
      await eventually(() => said.includes("listening"));
      const call = async () => (await posthorn.api("POST", `/v1/apps/${slug}/test`, { data: { grüße: "ü" } })).body;
      expect(await call()).toMatchObject({ outcome: "delivered" });
      await eventually(() => /test\.ping +dlv_/.test(said));
      await posthorn.api("POST", `/v1/apps/${slug}/secret/rotate`);
      expect(await call()).toMatchObject({ outcome: "delivered" });
      await bus.publish("issue.created", { organization_id: "42", app: slug, data: { issue: { id: "1" } } });
      await eventually(() => /issue\.created +dlv_/.test(said));

      const now = String(Math.floor(Date.now() / 1000));
      const forged = await fetch(url, {
        method: "POST",
        headers: { "webhook-id": "x", "webhook-timestamp": now, "webhook-signature": "v1,Zm9yZ2Vk", "sentry-hook-resource": "issue" },
        body: "{}",
      });
      expect([forged.status, (await fetch(url, { method: "POST", body: "{}" })).status]).toEqual([401, 401]);

      for (const { headers, body = "{}", wanted } of hostile(clientSecret)) {
        // One that stops reading may close the connection while the rest is on its way.
        const answered = await fetch(url, { method: "POST", headers, body }).catch(() => ({ status: wanted === 413 ? 413 : 0 }));
        expect([headers, answered.status]).toEqual([headers, wanted]);
      }
      for (const bytes of ABORTED) await abort(port, bytes);
      // Whatever came, it still works.
      expect(await call()).toMatchObject({ outcome: "delivered" });
      expect(child.exitCode).toBeNull();
    } finally {
      child.kill("SIGKILL");
      await bus.close();
    }
  });
});
