/**
 * Clients that well-known generators make of the served /openapi.json, one flow with each: `npm run check:clients`. What a generator
 * leaves out or misnames is a fault of the document.
 */
import { execFileSync } from "node:child_process";
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, test } from "vitest";
import { clientPython, findGo } from "../../scripts/client-toolchains.mjs";
import { eventually } from "../support/eventually.ts";
import { type Posthorn, startPosthorn } from "../support/posthorn.ts";
import { type Receiver, startReceiver } from "../support/receiver.ts";
import { type Server, startNatsServer, startRedisServer } from "../support/servers.ts";

const OAPI_CODEGEN = "github.com/oapi-codegen/oapi-codegen/v2/cmd/oapi-codegen@v2.8.2";
const TOKEN = "admin-token-12345";
const python = clientPython();
const go = findGo();

let nats: Server;
let redis: Server;
let receiver: Receiver;
let posthorn: Posthorn;
const folder = mkdtempSync(join(tmpdir(), "posthorn-clients-"));
const document = join(folder, "openapi.json");

beforeAll(async () => {
  [nats, redis, receiver] = await Promise.all([startNatsServer(), startRedisServer(), startReceiver()]);
  posthorn = await startPosthorn({ nats, redis, settings: { POSTHORN_API_TOKENS: `admin:${TOKEN}` } });
  writeFileSync(document, await (await fetch(`${posthorn.url}/openapi.json`)).text());
});
afterAll(async () => {
  await posthorn.end();
  await Promise.all([nats.stop(), redis.stop(), receiver.stop()]);
  rmSync(folder, { recursive: true, force: true });
});

const run = (command: string, args: readonly string[], cwd: string, environment: Readonly<Record<string, string>> = {}): string =>
  execFileSync(command, args, { cwd, encoding: "utf8", env: { ...process.env, ...environment } });
const flow = (): string[] => [posthorn.url, TOKEN, receiver.url];

/** The installation of the flow has got the flow's event. */
async function expectDelivered(output: string): Promise<void> {
  const uuid = output.trim();
  await eventually(() => receiver.requests.some(({ body }) => body.toString().includes(uuid)));
}

test.skipIf(python === null)("a client generated for Python", async () => {
  const bin = dirname(python ?? "");
  const args = ["generate", "--path", document, "--output-path", join(folder, "posthorn_api"), "--meta", "none", "--fail-on-warning"];
  run(join(bin, "openapi-python-client"), args, folder, { PATH: `${bin}:${process.env["PATH"]}` });
  copyFileSync(new URL("flow.py", import.meta.url), join(folder, "flow.py"));
  await expectDelivered(run(python ?? "", ["flow.py", ...flow()], folder));
});

test.skipIf(go === null)("a client generated for Go", async () => {
  const module = join(folder, "go");
  mkdirSync(join(module, "api"), { recursive: true });
  run(go ?? "", ["mod", "init", "posthorn.test"], module);
  const args = ["run", OAPI_CODEGEN, "-generate", "types,client", "-package", "api", "-o", "api/api.go", document];
  run(go ?? "", args, module);
  copyFileSync(new URL("flow.go.txt", import.meta.url), join(module, "main.go"));
  run(go ?? "", ["mod", "tidy"], module);
  run(go ?? "", ["vet", "./..."], module);
  await expectDelivered(run(go ?? "", ["run", ".", ...flow()], module));
});
