/** Each row of the table of outcomes, with the behaviour of a real socket behind it. */
import { type AddressInfo, createServer, Socket } from "node:net";
import { gzipSync } from "node:zlib";
import { afterEach, describe, expect, test, vi } from "vitest";
import { classify } from "../../src/delivery/classify.ts";
import type { Sender } from "../../src/delivery/http/sender.ts";
import { READ_ANSWERS, UNREAD_ANSWERS } from "../support/answer-vectors.ts";
import { eventually } from "../support/eventually.ts";
import { createManualClock } from "../support/manual-clock.ts";
import { startRawServer } from "../support/raw-server.ts";
import { answer, startReceiver } from "../support/receiver.ts";
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

async function post(url: string, { timeoutMs = 5_000, from = sender(), body = "{}" } = {}) {
  const result = await from.send({ url, headers: { "Content-Type": "application/json" }, body: Buffer.from(body), timeoutMs });
  return { result, ...classify(result, { retryOn: null }, Date.now()) };
}

async function receiver(...given: Parameters<typeof startReceiver>) {
  const started = await startReceiver(...given);
  cleanups.push(started.stop);
  return started;
}

async function rawServer(...given: Parameters<typeof startRawServer>) {
  const started = await startRawServer(...given);
  cleanups.push(started.stop);
  return `http://127.0.0.1:${started.port}/`;
}

describe("an answer", () => {
  test.each<[number, string]>([
    [200, "delivered"],
    [201, "delivered"],
    [204, "delivered"],
    [299, "delivered"],
    [301, "rejected"],
    [302, "rejected"],
    [307, "rejected"],
    [400, "rejected"],
    [401, "rejected"],
    [404, "rejected"],
    [408, "failed"],
    [410, "gone"],
    [422, "rejected"],
    [425, "failed"],
    [429, "failed"],
    [500, "failed"],
    [503, "failed"],
    [599, "failed"],
  ])("of %i is %s", async (status, outcome) => {
    const { url } = await receiver(answer(status, status === 204 ? "" : "body", { location: "http://127.0.0.1:1/" }));
    expect(await post(url)).toMatchObject({ outcome, responseCode: status });
  });

  test("of 429 brings its Retry-After", async () => {
    const { url } = await receiver(answer(429, "", { "retry-after": "7" }));
    expect((await post(url)).pauseMs).toBe(7_000);
  });

  test("that redirects is not followed", async () => {
    const target = await receiver();
    const { url } = await receiver(answer(302, "", { location: target.url }));
    expect(await post(url)).toMatchObject({ outcome: "rejected", responseCode: 302 });
    expect(target.requests).toHaveLength(0);
  });

  test("has its body kept as it came, compressed or not", async () => {
    const compressed = gzipSync("hello");
    const { url } = await receiver((_request, response) => void response.writeHead(500, { "content-encoding": "gzip" }).end(compressed));
    const { result } = await post(url);
    expect(result).toMatchObject({ kind: "answered", body: compressed });
  });

  test("after informational ones is the one that counts", async () => {
    const url = await rawServer((socket) =>
      socket.end("HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
    );
    expect(await post(url)).toMatchObject({ outcome: "delivered", responseCode: 200 });
  });

  test.each(READ_ANSWERS)("counts with $name", async ({ bytes, status, body, isReusable }) => {
    let requests = 0;
    const server = await startRawServer((socket) => {
      requests++;
      const answers = Buffer.from(bytes, "latin1");
      // Those that say where they end are read without the connection's end.
      if (isReusable) socket.write(answers);
      else socket.end(answers);
    });
    cleanups.push(server.stop);
    const from = sender();
    const url = `http://127.0.0.1:${server.port}/`;
    const { result, responseCode } = await post(url, { from });
    expect([responseCode, result.kind === "answered" && (result.body?.toString("latin1") ?? "")]).toEqual([status, body]);
    expect((await post(url, { from })).responseCode).toBe(status);
    expect([requests, server.connections()]).toEqual([2, isReusable ? 1 : 2]);
  });

  test.each([413, 200])("of %i before all of a large body was taken counts, whether the connection is closed or reset", async (status) => {
    for (const end of [(socket: Socket) => socket.end(), (socket: Socket) => setTimeout(() => socket.resetAndDestroy(), 50)]) {
      const server = createServer((socket) => {
        socket.on("error", () => {});
        socket.once("data", () => {
          socket.pause();
          socket.write(`HTTP/1.1 ${status} X\r\nContent-Length: 0\r\n\r\n`, () => void end(socket));
        });
      });
      await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
      cleanups.push(() => server.close());
      const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
      for (let times = 0; times < 5; times++)
        expect(await post(url, { body: "x".repeat(8 * 1024 * 1024) })).toMatchObject({ responseCode: status });
    }
  });

  test("of endless size is read up to 64 KiB, and the connection closed", async () => {
    let closed = false;
    const { url } = await receiver((_request, response, socket) => {
      socket.on("close", () => {
        closed = true;
      });
      response.writeHead(500);
      const pump = (): void => {
        while (!response.destroyed && response.write("x".repeat(16_384)));
        if (!response.destroyed) response.once("drain", pump);
      };
      pump();
    });
    const { result, outcome } = await post(url);
    expect(outcome).toBe("failed");
    expect(result.kind === "answered" && result.body?.byteLength).toBe(64 * 1024);
    expect(result).toMatchObject({ bodySize: null });
    await eventually(() => closed);
  });

  test.each([
    ["empty", "", 0],
    ["as long as what is kept", "x".repeat(64 * 1024), 64 * 1024],
    ["longer", "x".repeat(200_000), 200_000],
  ])("has the size of its whole body: %s", async (_what, body, bodySize) => {
    const { url } = await receiver(answer(200, body, { "content-length": String(bodySize) }));
    expect((await post(url)).result).toMatchObject({ kind: "answered", bodySize });
  });
});

describe("no answer", () => {
  test("refused", async () => {
    expect(await post(`http://127.0.0.1:${await freePort()}/`)).toMatchObject({
      outcome: "unreachable",
      responseCode: 0,
      error: expect.stringMatching(/ECONNREFUSED/),
    });
  });

  test("reset before the headers", async () => {
    expect(await post(await rawServer((socket) => socket.resetAndDestroy()))).toMatchObject({ outcome: "unreachable", responseCode: 0 });
  });

  test("closed before the headers", async () => {
    expect(await post(await rawServer((socket) => socket.end()))).toMatchObject({ outcome: "unreachable" });
  });

  test("reset in the middle of the body", async () => {
    const url = await rawServer((socket) => {
      socket.write("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf", () => setTimeout(() => socket.resetAndDestroy(), 20));
    });
    expect(await post(url)).toMatchObject({ outcome: "unreachable", responseCode: 0 });
  });

  test.each(UNREAD_ANSWERS)("but %s", async (_name, bytes, error) => {
    const url = await rawServer((socket) => socket.end(Buffer.from(bytes, "latin1")));
    expect(await post(url)).toMatchObject({ outcome: "unreachable", responseCode: 0, error: expect.stringMatching(error) });
  });

  test("a name that does not exist", async () => {
    expect(await post("http://does-not-exist.invalid/")).toMatchObject({ outcome: "unreachable", responseCode: 0 });
  });
});

describe("one deadline covers the whole attempt", () => {
  const drip = (text: string, everyMs: number) => (socket: Socket) => {
    const characters = [...text];
    const timer = setInterval(() => {
      const next = characters.shift() ?? "x";
      if (socket.destroyed) clearInterval(timer);
      else socket.write(next);
    }, everyMs);
  };

  test("a server that never answers", async () => {
    expect(await post(await rawServer(() => {}), { timeoutMs: 200 })).toMatchObject({ outcome: "timed_out", responseCode: 0 });
  });

  test("headers that drip", async () => {
    expect(await post(await rawServer(drip("HTTP/1.1 200 OK\r\nX-Slow: ", 20)), { timeoutMs: 300 })).toMatchObject({
      outcome: "timed_out",
    });
  });

  test("a body that drips", async () => {
    const url = await rawServer((socket) => {
      socket.write("HTTP/1.1 200 OK\r\nContent-Length: 10000\r\n\r\n");
      drip("", 20)(socket);
    });
    expect(await post(url, { timeoutMs: 300 })).toMatchObject({ outcome: "timed_out", responseCode: 0 });
  });

  test("afterwards the next send gets a connection that works", async () => {
    let requests = 0;
    const { url } = await receiver((_request, response) => void (++requests > 1 && response.end("ok")));
    const from = sender();
    expect(await post(url, { from, timeoutMs: 200 })).toMatchObject({ outcome: "timed_out" });
    expect(await post(url, { from })).toMatchObject({ outcome: "delivered" });
  });
});

describe("an address that is not allowed", () => {
  test("is blocked as a literal, before a connection is made", async () => {
    const { url, requests } = await receiver();
    expect(await post(url, { from: sender({ allow: [] }) })).toMatchObject({
      outcome: "blocked",
      responseCode: 0,
      error: expect.stringMatching(/127\.0\.0\.1 is not a public address/),
    });
    expect(requests).toHaveLength(0);
  });

  test("is blocked behind a name", async () => {
    const { port, requests } = await receiver();
    expect(await post(`http://localhost:${port}/`, { from: sender({ allow: [] }) })).toMatchObject({ outcome: "blocked" });
    expect(requests).toHaveLength(0);
  });

  test("behind a name is reached when its network is opened", async () => {
    const { port } = await receiver();
    expect(await post(`http://localhost:${port}/`)).toMatchObject({ outcome: "delivered" });
  });
});

describe("a connection", () => {
  test("is used again, and the bytes on it are exactly the body", async () => {
    const requests: string[] = [];
    const server = await startRawServer((socket, text) => {
      requests.push(text);
      socket.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    });
    cleanups.push(server.stop);
    const from = sender();
    const url = `http://127.0.0.1:${server.port}/in?x=1`;
    for (let i = 0; i < 20; i++) await post(url, { from, body: `{"n":"ü${i % 10}"}` });
    // A request that follows at once may find the first connection still ending its response.
    expect(server.connections()).toBeLessThanOrEqual(2);
    expect(requests[0]).toMatch(/^POST \/in\?x=1 HTTP\/1\.1\r\n/);
    expect(requests[0]).toMatch(/content-length: 11\r\n/i);
    expect(Buffer.from(requests[0]?.split("\r\n\r\n")[1] ?? "", "latin1").toString("utf8")).toBe('{"n":"ü0"}');
  });

  test("BODY-1: has a large body from the one Buffer that it shares with others, without a copy", async () => {
    const { url, requests } = await receiver(answer(200, "ok"));
    const from = sender();
    const shared = Buffer.from("ü".repeat(25_000));
    const write = vi.spyOn(Socket.prototype, "write");
    cleanups.push(() => write.mockRestore());
    const heads = Array.from({ length: 20 }, (_, n) => `head ${n} `);
    await Promise.all(heads.map((bodyHead) => from.send({ url, headers: {}, bodyHead, body: shared, timeoutMs: 5_000 })));
    const large = write.mock.calls.map(([chunk]) => chunk).filter(({ length }) => length > 20_000);
    expect([large.length, large.every((chunk) => chunk === shared)]).toEqual([20, true]);
    expect(new Set(requests.map(({ body }) => body.toString()))).toEqual(new Set(heads.map((head) => `${head}${shared.toString()}`)));
  });

  test("carries no cookie that came before", async () => {
    const { url, requests } = await receiver(answer(200, "", { "set-cookie": "session=1" }));
    const from = sender();
    for (let times = 0; times < 3; times++) await post(url, { from });
    expect(requests.map(({ headers }) => headers.cookie)).toEqual([undefined, undefined, undefined]);
  });

  test("is one of a limited number to the same host; what is beyond waits", async () => {
    const open = new Set<Socket>();
    const { url, requests } = await receiver((_request, response, socket) => {
      open.add(socket);
      setTimeout(() => response.end("ok"), 5);
    });
    const from = sender({ connectionsPerOrigin: 3 });
    const results = await Promise.all(Array.from({ length: 30 }, () => post(url, { from })));
    expect(new Set(results.map(({ outcome }) => outcome))).toEqual(new Set(["delivered"]));
    expect([requests.length, open.size]).toEqual([30, 3]);
  });
});

describe("idle connections", () => {
  test("are limited over all origins: the one that has been idle for longest is closed", async () => {
    const open = new Map<string, number>();
    const { port } = await receiver(
      (request, response, socket) => {
        const host = request.headers.host ?? "";
        if (!open.has(host)) socket.once("close", () => open.delete(host));
        open.set(host, (open.get(host) ?? 0) + 1);
        response.end("ok");
      },
      0,
      "0.0.0.0",
    );
    const from = sender({ maxIdleConnections: 100 });
    const host = (n: number): string => `127.1.${n >> 8}.${n & 255}:${port}`;
    for (let n = 1; n <= 400; n += 40) {
      await Promise.all(Array.from({ length: 40 }, (_, at) => post(`http://${host(n + at)}/`, { from })));
      await post(`http://${host(0)}/`, { from });
    }
    expect(from.idleConnections()).toBe(100);
    await eventually(() => expect(open.size).toBe(100));
    // All ten over the same connection.
    expect(open.get(host(0))).toBe(10);
    expect([...open.keys()].sort()).toEqual([host(0), ...Array.from({ length: 99 }, (_, at) => host(400 - at))].sort());
  });

  test("are given up after a minute, with their destination", async () => {
    const { url } = await receiver();
    const clock = createManualClock();
    const from = sender({ clock, connectionsPerOrigin: 1 });
    await post(url, { from });
    await clock.advance(59_000);
    expect(from.destinations()).toBe(1);
    await clock.advance(20_000);
    expect([from.destinations(), from.idleConnections()]).toEqual([0, 0]);
    expect(await post(url, { from })).toMatchObject({ outcome: "delivered" });
  });
});
