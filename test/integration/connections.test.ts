/** How the sender comes to its connections: kept ones that the receiver has closed, and names with several addresses. */
import type { Socket } from "node:net";
import { afterEach, describe, expect, test } from "vitest";
import type { NameResolver } from "../../src/delivery/http/name-resolver.ts";
import type { Sender } from "../../src/delivery/http/sender.ts";
import { startDnsServer } from "../support/dns-server.ts";
import { eventually } from "../support/eventually.ts";
import { startRawServer } from "../support/raw-server.ts";
import { answer, startReceiver } from "../support/receiver.ts";
import { makeSender, type TestSenderOptions } from "../support/sender.ts";
import { freePort } from "../support/servers.ts";
import { startTarpit } from "../support/tarpit.ts";

const cleanups: Array<() => Promise<unknown> | unknown> = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

function kept<T extends { stop(): Promise<unknown> | unknown }>(started: T): T {
  cleanups.push(started.stop);
  return started;
}

function sender(options: TestSenderOptions = {}): Sender {
  const made = makeSender(options);
  cleanups.push(made.close);
  return made;
}

async function post(from: Sender, url: string, { body = "{}", timeoutMs = 5_000 } = {}) {
  const result = await from.send({ url, headers: {}, body: Buffer.from(body), timeoutMs });
  return result.kind === "answered" ? result.status : `${result.kind}: ${result.error}`;
}

describe("a kept connection that ends before an answer has begun", () => {
  const OK = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

  /** Answers the first request of each connection, and does something else with the second. */
  async function oneRequestEach(second: (socket: Socket) => void) {
    const seen = new Map<Socket, number>();
    const requests = { count: 0 };
    const server = kept(
      await startRawServer((socket) => {
        requests.count++;
        const nth = (seen.get(socket) ?? 0) + 1;
        seen.set(socket, nth);
        if (nth === 1) socket.write(OK);
        else second(socket);
      }),
    );
    return { ...server, requests, url: `http://127.0.0.1:${server.port}/` };
  }

  test.each<[string, (socket: Socket) => void]>([
    ["closed", (socket) => socket.end()],
    ["reset", (socket) => socket.resetAndDestroy()],
  ])("%s: the request goes out once more, over a fresh one", async (_how, second) => {
    const { url, requests, connections } = await oneRequestEach(second);
    const from = sender({ connectionsPerOrigin: 1 });
    for (let times = 0; times < 4; times++) expect(await post(from, url)).toBe(200);
    // The first answers; after that each second use of a connection is lost, and made good by the first use of the next.
    expect([requests.count, connections()]).toEqual([7, 4]);
  });

  test("while a large request is half written", async () => {
    let uses = 0;
    const server = kept(
      await startRawServer((socket) => {
        if (++uses !== 2) return void socket.write(OK);
        socket.pause();
        socket.resetAndDestroy();
      }),
    );
    const from = sender({ connectionsPerOrigin: 1 });
    const url = `http://127.0.0.1:${server.port}/`;
    expect(await post(from, url)).toBe(200);
    expect(await post(from, url, { body: "x".repeat(4 * 1024 * 1024) })).toBe(200);
    expect(server.connections()).toBe(2);
  });

  test("a fresh connection gets no second one", async () => {
    const server = kept(await startRawServer((socket) => socket.end()));
    expect(await post(sender(), `http://127.0.0.1:${server.port}/`)).toMatch(/^unreachable: .*without an answer/);
    expect(server.connections()).toBe(1);
  });

  test("not a third time, however many kept ones there are", async () => {
    let isUp = true;
    const held: Socket[] = [];
    const server = kept(
      await startRawServer((socket) => {
        if (!isUp) return void socket.end();
        held.push(socket);
        if (held.length === 4) for (const waiting of held) waiting.write(OK);
      }),
    );
    const from = sender({ connectionsPerOrigin: 4 });
    const url = `http://127.0.0.1:${server.port}/`;
    expect(await Promise.all([1, 2, 3, 4].map(() => post(from, url)))).toEqual([200, 200, 200, 200]);
    isUp = false;
    expect(await post(from, url)).toMatch(/^unreachable: .*without an answer/);
    expect(server.connections()).toBe(5);
  });

  test("not when the first byte of an answer was there", async () => {
    const { url, requests } = await oneRequestEach((socket) => socket.write("H", () => setTimeout(() => socket.resetAndDestroy(), 20)));
    const from = sender({ connectionsPerOrigin: 1 });
    expect(await post(from, url)).toBe(200);
    expect(await post(from, url)).toMatch(/^unreachable: /);
    expect(requests.count).toBe(2);
  });

  test("within one deadline", async () => {
    let uses = 0;
    const server = kept(
      await startRawServer((socket) => {
        uses++;
        if (uses === 1) socket.write(OK);
        else if (uses === 2) setTimeout(() => socket.end(), 200);
      }),
    );
    const from = sender({ connectionsPerOrigin: 1 });
    const url = `http://127.0.0.1:${server.port}/`;
    expect(await post(from, url)).toBe(200);
    const startedAt = performance.now();
    expect(await post(from, url, { timeoutMs: 1_500 })).toBe("timed_out: no answer within 1500 ms");
    expect(uses).toBe(3);
    expect(performance.now() - startedAt).toBeGreaterThanOrEqual(1_499);
  });

  test("bytes that nobody asked for end it, and answer nothing", async () => {
    let requests = 0;
    const server = kept(
      await startRawServer((socket) => {
        requests++;
        socket.write(OK, () => setTimeout(() => socket.write("HTTP/1.1 500 X\r\nContent-Length: 0\r\n\r\n"), 20));
        socket.once("close", () => closed++);
      }),
    );
    let closed = 0;
    const from = sender({ connectionsPerOrigin: 1 });
    const url = `http://127.0.0.1:${server.port}/`;
    expect(await post(from, url)).toBe(200);
    await eventually(() => closed === 1);
    expect(await post(from, url)).toBe(200);
    expect([requests, server.connections()]).toEqual([2, 2]);
  });
});

describe("waiting for a connection", () => {
  test("is not the receiver's time", async () => {
    const from = sender({ connectionsPerOrigin: 1 });
    let isFirst = true;
    const { url } = kept(
      await startReceiver((_request, response) => {
        // Longer than the second one's whole deadline.
        setTimeout(() => response.end("ok"), isFirst ? 1_300 : 0);
        isFirst = false;
      }),
    );
    expect(await Promise.all([post(from, url, { timeoutMs: 20_000 }), post(from, url, { timeoutMs: 1_000 })])).toEqual([200, 200]);
  });
});

describe("a name with several addresses", () => {
  const opened = { allow: ["127.0.0.0/8", "::1/128"] };
  const named = (addresses: readonly string[]): NameResolver => ({
    resolve(_name, resolved) {
      resolved(null, addresses);
      return () => {};
    },
    close() {},
  });
  /** A receiver at one of the addresses of this machine. */
  const at = async (host: string, port: number) => kept(await startReceiver(answer(200, "ok"), port, host));

  test("goes to the second when the first refuses", async () => {
    const port = await freePort();
    await at("127.0.0.2", port);
    expect(await post(sender({ ...opened, resolver: named(["127.0.0.3", "127.0.0.2"]) }), `http://two.example:${port}/`)).toBe(200);
  });

  test("goes to the second when the first doesn't answer, long before the deadline", async () => {
    const tarpit = kept(await startTarpit("127.0.0.3"));
    await at("127.0.0.2", tarpit.port);
    const from = sender({ ...opened, connectTimeoutMs: 20_000, resolver: named(["127.0.0.3", "127.0.0.2"]) });
    expect(await post(from, `http://two.example:${tarpit.port}/`, { timeoutMs: 20_000 })).toBe(200);
  });

  test.each([
    ["before", ["127.0.0.2", "127.0.0.3"]],
    ["behind", ["127.0.0.2", "127.0.0.4"]],
  ])("waits for a slow one although the other one refuses, whichever is first (%s)", async (where, [slow = "", refusing = ""]) => {
    const tarpit = kept(await startTarpit(slow));
    const addresses = where === "before" ? [slow, refusing] : [refusing, slow];
    const from = sender({ ...opened, connectTimeoutMs: 15_000, resolver: named(addresses) });
    const sent = post(from, `http://two.example:${tarpit.port}/`, { timeoutMs: 15_000 });
    // Longer than an address is waited for before the next one is tried.
    await new Promise((resolve) => setTimeout(resolve, 600));
    tarpit.answer();
    expect(await sent).toBe(200);
  });

  test("of both families goes to the one that works", async () => {
    const port = await freePort();
    await at("127.0.0.2", port);
    for (const addresses of [
      ["::1", "127.0.0.2"],
      ["127.0.0.2", "::1"],
      ["::1", "127.0.0.3", "127.0.0.2"],
    ])
      expect(await post(sender({ ...opened, resolver: named(addresses) }), `http://both.example:${port}/`)).toBe(200);
  });

  test("none of which takes connections is unreachable, with the first one's reason", async () => {
    const from = sender({ ...opened, resolver: named(["127.0.0.2", "127.0.0.3", "::1"]) });
    expect(await post(from, `http://none.example:${await freePort()}/`)).toMatch(/^unreachable: ECONNREFUSED: .*127\.0\.0\.2/);
  });

  test("none of which answers is timed out by the connect's deadline", async () => {
    const tarpit = kept(await startTarpit("127.0.0.2"));
    const from = sender({ ...opened, connectTimeoutMs: 700, resolver: named(["127.0.0.2", "127.0.0.2"]) });
    expect(await post(from, `http://none.example:${tarpit.port}/`)).toBe("timed_out: no connection within 700 ms (connecting)");
  });

  test("looked up in a zone is tried beginning with IPv6", async () => {
    const receiver = kept(await startReceiver(answer(200, "six"), 0, "::1"));
    await at("127.0.0.2", receiver.port);
    const dns = kept(await startDnsServer({ "both.example": ["127.0.0.2", "::1"] }));
    expect(await post(sender({ ...opened, resolver: dns.resolver }), `http://both.example:${receiver.port}/`)).toBe(200);
    expect(receiver.requests).toHaveLength(1);
  });
});
