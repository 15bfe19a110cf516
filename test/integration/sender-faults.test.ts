/** Faults of Posthorn's side, which are not the receiver's, and those of the receiver that look like them. */
import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { Worker } from "node:worker_threads";
import { afterEach, describe, expect, test } from "vitest";
import { createNameResolver } from "../../src/delivery/http/name-resolver.ts";
import type { Sender } from "../../src/delivery/http/sender.ts";
import { startDnsServer } from "../support/dns-server.ts";
import { eventually } from "../support/eventually.ts";
import { startReceiver } from "../support/receiver.ts";
import { makeSender, type TestSenderOptions } from "../support/sender.ts";
import { freePort } from "../support/servers.ts";

const cleanups: Array<() => Promise<unknown> | unknown> = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

function sender(options: TestSenderOptions = {}): Sender {
  const made = makeSender(options);
  cleanups.push(made.close);
  return made;
}

async function post(from: Sender, url: string, timeoutMs = 5_000): Promise<string | number> {
  const result = await from.send({ url, headers: {}, body: Buffer.from("{}"), timeoutMs });
  return result.kind === "answered" ? result.status : `${result.kind}: ${result.error}`;
}

describe("a name server", () => {
  const SERVFAIL = 2;
  const REFUSED = 5;

  test.each([
    ["SERVFAIL", () => SERVFAIL, /^sender_failed: ESERVFAIL: the name can't be looked up/],
    ["REFUSED", () => REFUSED, /^sender_failed: EREFUSED: /],
    ["no such name", undefined, /^unreachable: ENOTFOUND: /],
    ["no address", () => [], /^unreachable: ENODATA: /],
  ])("that answers %s", async (_what, answer, wanted) => {
    const dns = await startDnsServer(answer === undefined ? {} : { "hooks.example": answer });
    cleanups.push(dns.stop);
    expect(await post(sender({ resolver: dns.resolver }), "http://hooks.example/")).toMatch(wanted);
  });

  test("that is not there, and one that is given up, is no fault of the receiver", async () => {
    const gone = createNameResolver({ timeoutMs: 2_000, servers: [`127.0.0.1:${await freePort()}`] });
    cleanups.push(() => gone.close());
    expect(await post(sender({ resolver: gone }), "http://hooks.example/")).toMatch(/^sender_failed: E(CONNREFUSED|TIMEOUT): /);
    const dns = await startDnsServer({ "hooks.example": () => null });
    cleanups.push(dns.stop);
    const given = createNameResolver({ timeoutMs: 100, servers: [dns.address] });
    cleanups.push(() => given.close());
    expect(await post(sender({ resolver: given }), "http://hooks.example/")).toMatch(
      /^sender_failed: ETIMEOUT: the name server did not answer/,
    );
  });
});

test("a process without free descriptors can't send, which is no fault of the receiver", async () => {
  const receiver = await startReceiver();
  cleanups.push(receiver.stop);
  const script = join(import.meta.dirname, "../support/send-without-descriptors.mjs");
  const { stdout } = await promisify(execFile)("bash", ["-c", 'ulimit -n 256; exec "$0" "$@"', process.execPath, script, receiver.url]);
  expect(stdout.trim()).toMatch(/^sender_failed: EMFILE: /);
  expect(receiver.requests).toEqual([]);
});

test("a request that a shutdown ends is no fault of the receiver", async () => {
  const receiver = await startReceiver(() => {});
  cleanups.push(receiver.stop);
  const from = sender({ connectionsPerOrigin: 1 });
  const ends = [post(from, receiver.url), post(from, receiver.url)];
  await eventually(() => receiver.requests.length === 1);
  await from.close();
  expect(await Promise.all(ends)).toEqual(["sender_failed: the sender is closed", "sender_failed: the sender is closed"]);
});

test("an answer that arrives in time counts although the process did not run for longer than the deadline", async () => {
  // Another thread: it answers while this one does not run.
  const worker = new Worker(
    `const { createServer } = require("node:http");
     const server = createServer((_, response) => setTimeout(() => response.end("ok"), 50));
     server.listen(0, "127.0.0.1", () => require("node:worker_threads").parentPort.postMessage(server.address().port));`,
    { eval: true },
  );
  cleanups.push(() => worker.terminate());
  const port = await new Promise((resolve) => worker.once("message", resolve));
  const from = sender();
  expect(await post(from, `http://127.0.0.1:${port}/`)).toBe(200);
  const sent = post(from, `http://127.0.0.1:${port}/`, 300);
  await new Promise((resolve) => setImmediate(resolve));
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1_000);
  expect(await sent).toBe(200);
});
