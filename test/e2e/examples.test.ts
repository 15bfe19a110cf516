/** The receivers under examples/, each in its language, against the real service. */
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { findBinary } from "../../scripts/servers.mjs";
import { eventually } from "../support/eventually.ts";
import { connectBus, type Posthorn, startPosthorn } from "../support/posthorn.ts";
import { freePort, type Server, startNatsServer, startRedisServer } from "../support/servers.ts";

const EXAMPLES = fileURLToPath(new URL("../../examples/", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "posthorn-examples-"));

let nats: Server;
let redis: Server;
let posthorn: Posthorn;

beforeAll(async () => {
  [nats, redis] = await Promise.all([startNatsServer(), startRedisServer()]);
  posthorn = await startPosthorn({ nats, redis });
});
afterAll(async () => {
  await posthorn.end();
  await Promise.all([nats.stop(), redis.stop()]);
  rmSync(folder, { recursive: true, force: true });
});

/** @returns the command that runs it, or null when its language is not on this machine. */
type Prepare = () => Promise<[command: string, ...args: string[]] | null>;

const RECEIVERS: Array<[language: string, prepare: Prepare]> = [
  ["Node", async () => [process.execPath, join(EXAMPLES, "receive/receive.mjs")]],
  ["Node with posthorn/client", async () => [process.execPath, join(EXAMPLES, "receiver/main.ts")]],
  ["Python", async () => (findBinary("python3") === null ? null : ["python3", join(EXAMPLES, "receive/receive.py")])],
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

describe.each(RECEIVERS)("the receiver in %s", (language, prepare) => {
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
    } finally {
      child.kill("SIGKILL");
      await bus.close();
    }
  });
});
