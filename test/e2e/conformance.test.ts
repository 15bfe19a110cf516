/** posthorn conformance: with Posthorn as the sender, and with another one behind an adapter. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { json, text } from "node:stream/consumers";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { runCli } from "../support/cli.ts";
import { type DnsServer, startDnsServer } from "../support/dns-server.ts";
import { createTestSender } from "../support/faulty-sender.ts";
import { MAIN, type Posthorn, startPosthorn } from "../support/posthorn.ts";
import { plainEnvironment, type Server, startNatsServer, startRedisServer } from "../support/servers.ts";

const TOKEN = "admin-token-12345";
/** The one private address that Posthorn may connect to. */
const RECEIVER = "127.0.0.8";

let nats: Server;
let redis: Server;
let dns: DnsServer;
let posthorn: Posthorn;

beforeAll(async () => {
  [nats, redis] = await Promise.all([startNatsServer(), startRedisServer()]);
  dns = await startDnsServer({ "inside.example": ["127.0.0.1"], "half.example": ["1.1.1.1", "10.0.0.1"] });
  posthorn = await startPosthorn({
    nats,
    redis,
    settings: {
      POSTHORN_API_TOKENS: `admin:${TOKEN}`,
      POSTHORN_TARGET_ALLOW: RECEIVER,
      POSTHORN_TARGET_DNS_SERVERS: dns.address,
    },
  });
});
afterAll(async () => {
  await posthorn.end();
  await Promise.all([nats.stop(), redis.stop(), dns.stop()]);
});

test.concurrent("Posthorn passes every check, and nothing of them is left", async () => {
  const names = ["--private-name", "inside.example", "--private-name", "half.example"];
  const words = ["conformance", "--posthorn", posthorn.url, "--token", TOKEN, "--listen", `${RECEIVER}:0`, ...names];
  const { code, json: reports, err } = await runCli([...words, "--json"]);
  expect(reports.filter(({ result }) => result !== "pass")).toEqual([]);
  expect([code, err, reports.length]).toEqual([0, "", 48]);
  const apps = await posthorn.api("GET", "/v1/apps", undefined, { authorization: `Bearer ${TOKEN}` });
  expect(apps.body.items).toEqual([]);
});

describe.concurrent("with an adapter", () => {
  const folder = mkdtempSync(join(tmpdir(), "posthorn-conformance-"));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  function adapterOf(name: string, text: string): string {
    const file = join(folder, `${name}.mjs`);
    writeFileSync(file, text);
    return file;
  }

  /** The adapter of the document, and the API that it is for. */
  async function documented(name: string, onRegister = () => {}) {
    const sender = createTestSender({ host: RECEIVER, neverRetries: true });
    const endpoints = new Set<string>();
    const server = createServer(async (request, response) => {
      const body = (await json(request)) as { url: string; type: string; data: object };
      const [, , id = ""] = (request.url ?? "").split("/");
      let answer: object = {};
      try {
        if (request.url === "/endpoints") {
          const made = await sender.register(body);
          endpoints.add(made.id);
          answer = made;
          onRegister();
        } else if (request.method === "DELETE") endpoints.delete(id);
        else await sender.send({ id, ...body });
      } catch (error) {
        return void response.writeHead(422).end(String(error));
      }
      response.end(JSON.stringify(answer));
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const { port } = server.address() as AddressInfo;
    const [, code = ""] = /^```js\n(.*?)^```$/ms.exec(readFileSync("docs/conformance.md", "utf8")) ?? [];
    return {
      file: adapterOf(name, code.replace("127.0.0.1:9000", `127.0.0.1:${port}`)),
      endpoints,
      stop: () => {
        sender.stop();
        server.close();
        server.closeAllConnections();
      },
    };
  }

  test("another sender is tested: a table, what failed, and exit code 1", async () => {
    const { file, endpoints, stop } = await documented("table");
    const words = ["conformance", "--sender", file, "--listen", `${RECEIVER}:0`, "--retry-within", "3s"];
    const child = spawn(process.execPath, [MAIN, ...words], { stdio: ["ignore", "pipe", "inherit"], env: plainEnvironment() });
    const [out, [code]] = await Promise.all([text(child.stdout), once(child, "close") as Promise<[number]>]);
    stop();
    expect(out).toMatch(/^CHECK +RESULT +OBSERVED\ndelivery +pass +a POST of \d+ bytes\nheaders +pass +1 attempt\n/);
    expect(out).toMatch(/^retry +fail +no second attempt within 3 s$/m);
    expect(out).toMatch(
      /\n\nretry: After 500, the webhook is attempted again\.\n {2}Standard Webhooks 1\.0\.0, Deliverability and reliability\n/,
    );
    expect(out).toMatch(/\n\n\d+ passed, \d+ failed, \d+ skipped\n$/);
    expect([code, endpoints.size]).toEqual([1, 0]);
  });

  test("Ctrl-C ends the run, and removes what was made", async () => {
    const interrupt = new AbortController();
    const { file, endpoints, stop } = await documented("interrupted", () => interrupt.abort());
    const { code, out } = await runCli(["conformance", "--sender", file, "--listen", `${RECEIVER}:0`], { signal: interrupt.signal });
    stop();
    expect([code, out, endpoints.size]).toEqual([130, "", 0]);
  });

  test.each([
    [[], /wanted either --sender or --posthorn, found neither/],
    [["--sender", "x.mjs", "--posthorn", "http://127.0.0.1:1"], /wanted either --sender or --posthorn, found both/],
    [["--sender", "nowhere.mjs"], /--sender: nowhere\.mjs: .*Cannot find module/],
    [["--sender", adapterOf("half", "export const register = () => {};")], /found exports register; wanted functions register and send/],
    [["--sender", "x.mjs", "--listen", "3000"], /--listen: found "3000", wanted an address and a port such as 127\.0\.0\.1:3000/],
    [["--sender", "x.mjs", "--listen", "0.0.0.0:3000"], /0\.0\.0\.0 is no address that a sender can reach; --public-url is missing/],
    [["--sender", "x.mjs", "--retry-within", "30"], /--retry-within: found "30", wanted a duration/],
  ])("%j is a wrong command line", async (words, message) => {
    const { code, err } = await runCli(["conformance", ...words]);
    expect([code, err]).toEqual([64, expect.stringMatching(message)]);
  });

  test("a sender that refuses the receiver, or that can't be called, ends the run with its words", async () => {
    const refusing = adapterOf(
      "refusing",
      'export const register = () => { throw new Error("https only") };\nexport const send = register;',
    );
    expect(await runCli(["conformance", "--sender", refusing])).toMatchObject({ code: 1, err: "posthorn: https only\n" });
    const empty = adapterOf("empty", "export const register = async () => ({ id: 1 });\nexport const send = register;");
    expect(await runCli(["conformance", "--sender", empty])).toMatchObject({
      code: 1,
      err: expect.stringMatching(/returned no \{ id, secret \}/),
    });
    expect(await runCli(["conformance", "--posthorn", "http://127.0.0.1:1"])).toMatchObject({
      code: 69,
      err: expect.stringMatching(/no answer from/),
    });
  });
});
