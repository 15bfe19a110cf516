/** Where webhooks may go: every spelling through the real sender, and names through a DNS server of our own. */
import { afterEach, describe, expect, test } from "vitest";
import { type AddressGuardOptions, createAddressGuard } from "../../src/delivery/http/address-guard.ts";
import type { NameResolver } from "../../src/delivery/http/name-resolver.ts";
import type { Sender } from "../../src/delivery/http/sender.ts";
import { createTargetCheck } from "../../src/delivery/http/target-check.ts";
import { startConnectProxy } from "../support/connect-proxy.ts";
import { startDnsServer, type Zone } from "../support/dns-server.ts";
import { startRawServer } from "../support/raw-server.ts";
import { answer, startReceiver } from "../support/receiver.ts";
import { makeSender, type TestSenderOptions } from "../support/sender.ts";
import { freePort } from "../support/servers.ts";
import { LOOPBACK_HOSTS, OTHER_LOOPBACK_HOSTS, PUBLIC_HOSTS, REFUSED_HOSTS, REFUSED_URLS } from "../support/target-vectors.ts";

const cleanups: Array<() => Promise<unknown> | unknown> = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

function kept<T extends { stop(): Promise<unknown> }>(started: T): T {
  cleanups.push(started.stop);
  return started;
}

function sender(allow: readonly string[] = [], options: TestSenderOptions = {}, guard: AddressGuardOptions = {}): Sender {
  const made = makeSender({ allow, guard, connectionsPerOrigin: 4, ...options });
  cleanups.push(made.close);
  return made;
}

async function post(from: Sender, url: string, timeoutMs = 5_000) {
  const result = await from.send({ url, headers: {}, body: Buffer.from("{}"), timeoutMs });
  return result.kind === "answered" ? result.status : `${result.kind}: ${result.error}`;
}

async function names(zone: Zone) {
  return kept(await startDnsServer(zone));
}

test("there are enough spellings", () => {
  const lists = [LOOPBACK_HOSTS, OTHER_LOOPBACK_HOSTS, REFUSED_HOSTS, REFUSED_URLS, PUBLIC_HOSTS];
  expect(lists.reduce((sum, { length }) => sum + length, 0)).toBeGreaterThan(200);
});

describe("with nothing opened", () => {
  test.each([...LOOPBACK_HOSTS, ...OTHER_LOOPBACK_HOSTS, ...REFUSED_HOSTS])(
    "http://%s is refused, with and without a proxy",
    async (host) => {
      const receiver = kept(await startReceiver());
      const proxy = kept(await startConnectProxy(receiver.port));
      for (const from of [sender(), sender([], { proxy: proxy.url })]) {
        expect(await post(from, `http://${host}:${receiver.port}/`)).toMatch(/^blocked: .* is not a public address/);
        expect(await post(from, `https://${host}:${receiver.port}/`)).toMatch(/^blocked: .* is not a public address/);
      }
      expect([receiver.requests, proxy.requests]).toEqual([[], []]);
    },
  );

  test.each(REFUSED_URLS)("%j is refused", async (url, why) => {
    const refused = await post(sender(), url);
    expect(refused).toMatch(/^blocked: /);
    expect(refused).toMatch(why);
  });

  // Through a proxy that brings everything to the receiver: nothing leaves this machine.
  test.each(PUBLIC_HOSTS)("http://%s is allowed", async (host, parsed) => {
    const receiver = kept(await startReceiver());
    const proxy = kept(await startConnectProxy(receiver.port));
    const from = sender([], { proxy: proxy.url });
    expect(await post(from, `http://${host}/in`)).toBe(200);
    expect(proxy.requests.map(({ authority }) => authority)).toEqual([`${parsed}:80`]);
    expect(receiver.requests.map(({ path }) => path)).toEqual(["/in"]);
  });
});

describe("with 127.0.0.0/8 and ::1 opened", () => {
  const opened = ["127.0.0.0/8", "::1/128"];

  test.each(LOOPBACK_HOSTS)("http://%s is delivered", async (host) => {
    const receiver = kept(await startReceiver());
    expect(await post(sender(opened), `http://${host}:${receiver.port}/`)).toBe(200);
  });

  test.each(OTHER_LOOPBACK_HOSTS)("http://%s is not refused", async (host) => {
    expect(await post(sender(opened), `http://${host}:${await freePort()}/`)).toMatch(/^unreachable: /);
  });

  test.each(REFUSED_HOSTS)("http://%s is still refused", async (host) => {
    expect(await post(sender(opened), `http://${host}:9/`)).toMatch(/^blocked: /);
  });
});

describe("an IPv6 network with IPv4 addresses in it, once opened", () => {
  test.each<[network: string, allowed: string, refused: readonly string[]]>([
    ["64:ff9b::/96", "[64:ff9b::8.8.8.8]", ["[64:ff9b::127.0.0.1]", "[64:ff9b::10.0.0.1]", "[64:ff9b::169.254.169.254]"]],
    ["64:ff9b:1::/96", "[64:ff9b:1::8.8.8.8]", ["[64:ff9b:1::127.0.0.1]", "[64:ff9b:1:1::8.8.8.8]"]],
    ["2002::/16", "[2002:808:808::1]", ["[2002:7f00:1::1]", "[2002:c0a8:1::1]"]],
    ["2001::/32", "[2001:0:808:808:0:0:f7f7:f7f7]", ["[2001:0:7f00:1:0:0:f7f7:f7f7]", "[2001:0:808:808:0:0:80ff:fffe]"]],
    ["::/96", "[::8.8.8.8]", ["[::127.0.0.1]", "[::10.0.0.1]"]],
    ["::ffff:0:0/96", "[::ffff:8.8.8.8]", ["[::ffff:127.0.0.1]", "10.0.0.1", "127.0.0.1"]],
  ])("%s lets public ones through only", async (network, allowed, refused) => {
    const receiver = kept(await startReceiver());
    const proxy = kept(await startConnectProxy(receiver.port));
    const from = sender([network], { proxy: proxy.url });
    expect(await post(from, `http://${allowed}/`)).toBe(200);
    for (const host of refused) expect(await post(from, `http://${host}/`)).toMatch(/^blocked: /);
  });
});

describe("schemes and ports", () => {
  test("http: can be forbidden", async () => {
    const { url } = kept(await startReceiver());
    const from = sender(["127.0.0.0/8"], {}, { schemes: ["https"] });
    expect(await post(from, url)).toBe("blocked: scheme http: is not https:");
    expect(await post(from, url.replace("http:", "https:"))).toMatch(/^unreachable: /);
  });

  test("ports can be limited, those that a scheme implies too", async () => {
    const { url, port } = kept(await startReceiver());
    expect(await post(sender(["127.0.0.0/8"], {}, { ports: [[port, port]] }), url)).toBe(200);
    const from = sender(["127.0.0.0/8"], {}, { ports: [[443, 443]] });
    expect(await post(from, url)).toBe(`blocked: port ${port} is not allowed (POSTHORN_TARGET_PORTS)`);
    expect(await post(from, "http://127.0.0.1/")).toBe("blocked: port 80 is not allowed (POSTHORN_TARGET_PORTS)");
  });
});

describe("a name", () => {
  test.each<[string, readonly string[]]>([
    ["a private address", ["10.0.0.1"]],
    ["the metadata service", ["169.254.169.254"]],
    ["this machine", ["127.0.0.1"]],
    ["no address at all", ["0.0.0.0"]],
    ["a unique local address", ["fd00::1"]],
    ["a mapped one", ["::ffff:10.0.0.1"]],
    ["one behind NAT64", ["64:ff9b::7f00:1"]],
    ["one bad address among good ones", ["93.184.216.34", "8.8.8.8", "10.0.0.1"]],
    ["one bad address of the other family", ["93.184.216.34", "fe80::1"]],
  ])("that resolves to %s is refused, and its addresses are not shown", async (_what, addresses) => {
    const { resolver } = await names({ "hooks.example": addresses });
    const error = await post(sender([], { resolver }), "http://hooks.example/");
    expect(error).toBe("blocked: hooks.example: one of its addresses is not a public address (POSTHORN_TARGET_ALLOW opens networks)");
  });

  test.each(["hooks.example", "hooks.example.", "HOOKS.example", "bücher.example", "xn--bcher-kva.example"])(
    "written as %s is looked up as what it means",
    async (host) => {
      const receiver = kept(await startReceiver());
      const { resolver } = await names({ "hooks.example": ["127.0.0.1"], "xn--bcher-kva.example": ["127.0.0.1"] });
      expect(await post(sender(["127.0.0.0/8"], { resolver }), `http://${host}:${receiver.port}/`)).toBe(200);
      expect(await post(sender([], { resolver }), `http://${host}:${receiver.port}/`)).toMatch(/^blocked: /);
      expect(receiver.requests).toHaveLength(1);
    },
  );

  test("that does not exist is unreachable", async () => {
    const { resolver } = await names({});
    expect(await post(sender([], { resolver }), "http://nowhere.example/")).toMatch(/^unreachable: ENOTFOUND/);
  });

  test("whose server never answers is not the receiver's fault, whichever deadline is first", async () => {
    const { resolver } = await names({ "slow.example": () => null });
    expect(await post(sender([], { resolver }), "http://slow.example/", 150)).toMatch(/^sender_failed: no answer within 150 ms/);
    expect(await post(sender([], { resolver, connectTimeoutMs: 150 }), "http://slow.example/")).toBe(
      "sender_failed: no connection within 150 ms (looking the name up)",
    );
  });
});

describe("a name that is bound again", () => {
  const opened = ["127.0.0.2/32"];

  test("to a forbidden address after the first look-up gets nothing there: what was checked is what is connected to", async () => {
    const inside = kept(await startReceiver());
    const outside = kept(
      await startRawServer((socket) => socket.end("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"), undefined, "127.0.0.2", inside.port),
    );
    const dns = await names({ "rebind.example": (nth) => [nth % 2 === 1 ? "127.0.0.2" : "127.0.0.1"] });
    const from = sender(opened, { resolver: dns.resolver });
    const results = [];
    for (let times = 0; times < 10; times++) results.push(await post(from, `http://rebind.example:${inside.port}/`));
    // One look-up per connection: the answer that is checked is never asked for a second time.
    expect(dns.lookups("rebind.example")).toBe(10);
    expect(results.filter((result) => result === 200)).toHaveLength(5);
    expect(results.filter((result) => String(result).startsWith("blocked: "))).toHaveLength(5);
    expect([inside.requests.length, outside.connections()]).toEqual([0, 5]);
  });

  test("leaves a pooled connection with the address that was checked", async () => {
    const inside = kept(await startReceiver());
    const outside = kept(
      await startRawServer((socket) => socket.write("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"), undefined, "127.0.0.2", inside.port),
    );
    const dns = await names({ "rebind.example": (nth) => [nth === 1 ? "127.0.0.2" : "127.0.0.1"] });
    const from = sender(opened, { resolver: dns.resolver, connectionsPerOrigin: 1 });
    for (let times = 0; times < 5; times++) expect(await post(from, `http://rebind.example:${inside.port}/`)).toBe(200);
    expect([dns.lookups("rebind.example"), outside.connections(), inside.requests.length]).toEqual([1, 1, 0]);
  });

  test.each(["http", "https"])("between the check and the connect gets not one byte over %s", async (scheme) => {
    let bytes = 0;
    const inside = kept(await startRawServer(() => {}));
    inside.onData((chunk) => {
      bytes += chunk.length;
    });
    // A resolver that tells the guard one address and the socket another.
    const resolver: NameResolver = {
      resolve(_name, resolved) {
        let reads = 0;
        const twoFaced = new Proxy(["127.0.0.2"], {
          get: (addresses, property) => (property === "0" && reads++ > 0 ? "127.0.0.1" : Reflect.get(addresses, property)),
        });
        resolved(null, twoFaced);
        return () => {};
      },
      close() {},
    };
    expect(await post(sender(opened, { resolver }), `${scheme}://rebind.example:${inside.port}/`)).toMatch(/^blocked: rebind\.example/);
    expect([inside.connections(), bytes]).toEqual([1, 0]);
  });
});

describe("when it is saved", () => {
  const zone: Zone = { "good.example": ["93.184.215.14"], "mixed.example": ["93.184.215.14", "10.0.0.7"], "inside.example": ["fd00::1"] };
  const check = async (url: string, { hasProxy = false, allow = [] as readonly string[] } = {}) => {
    const dns = await names(zone);
    return createTargetCheck(createAddressGuard(allow), dns.resolver, { hasProxy })(url);
  };

  test.each(["http://mixed.example/in", "https://inside.example/"])("%s is refused by the addresses of its name", async (url) => {
    expect(await check(url)).toMatch(/^\w+\.example: one of its addresses is not a public address/);
  });

  test.each(["http://127.0.0.1/", "http://localhost/", "ftp://good.example/", "nonsense"])(
    "%s is refused as it is written",
    async (url) => {
      expect(await check(url)).not.toBeNull();
      expect(await check(url, { hasProxy: true })).not.toBeNull();
    },
  );

  test("a public name passes, and one that can't be resolved now", async () => {
    expect([await check("https://good.example/in"), await check("https://nowhere.example/")]).toEqual([null, null]);
  });

  test("a name passes when its network is opened, or a proxy looks it up", async () => {
    expect(await check("http://mixed.example/", { allow: ["10.0.0.0/8"] })).toBeNull();
    expect(await check("http://mixed.example/", { hasProxy: true })).toBeNull();
  });
});

describe("a redirect", () => {
  test.each(["http://169.254.169.254/latest/meta-data/", "http://127.0.0.1:6379/", "file:///etc/passwd", "//[::1]/", "/again"])(
    "to %s is an answer, not an order",
    async (location) => {
      for (const status of [301, 302, 303, 307, 308]) {
        const receiver = kept(await startReceiver(answer(status, "", { location })));
        expect(await post(sender(["127.0.0.0/8"]), receiver.url)).toBe(status);
        expect(receiver.requests).toHaveLength(1);
      }
    },
  );
});

describe("through a proxy", () => {
  test("a name is looked up by the proxy, which gets the credentials and the name", async () => {
    const receiver = kept(await startReceiver());
    const proxy = kept(await startConnectProxy(receiver.port));
    const { resolver, lookups } = await names({ "hooks.example": ["10.0.0.1"] });
    const from = sender([], { resolver, proxy: proxy.url.replace("//", "//user%40x:p%3Aw@") });
    for (let times = 0; times < 3; times++) expect(await post(from, "http://hooks.example:8080/in?x=1")).toBe(200);
    expect(proxy.requests[0]).toEqual({
      authority: "hooks.example:8080",
      authorization: `Basic ${Buffer.from("user@x:p:w").toString("base64")}`,
    });
    expect(receiver.requests.map(({ path, headers }) => [path, headers.host, headers["proxy-authorization"]])).toEqual(
      Array.from({ length: 3 }, () => ["/in?x=1", "hooks.example:8080", undefined]),
    );
    expect(lookups("hooks.example")).toBe(0);
  });

  test.each([
    [403, "sender_failed"],
    [407, "sender_failed"],
    [502, "unreachable"],
  ])("that answers %i: %s", async (status, outcome) => {
    const proxy = kept(await startConnectProxy(1, status));
    expect(await post(sender([], { proxy: proxy.url }), "http://hooks.example/")).toBe(
      `${outcome}: the proxy answered CONNECT with status ${status}`,
    );
  });

  test("that is down is not the receiver's fault, and where the proxy is stays a secret", async () => {
    const proxy = `http://user:secret@127.0.0.1:${await freePort()}`;
    expect(await post(sender([], { proxy }), "http://hooks.example/")).toBe("sender_failed: no connection to the proxy (ECONNREFUSED)");
  });

  test("that never answers the deadline holds", async () => {
    const proxy = kept(await startConnectProxy(1, 0));
    expect(await post(sender([], { proxy: proxy.url }), "http://hooks.example/", 150)).toMatch(/^timed_out: /);
    expect(await post(sender([], { proxy: proxy.url, connectTimeoutMs: 150 }), "http://hooks.example/")).toBe(
      "timed_out: no connection within 150 ms (waiting for the proxy)",
    );
  });

  test("that answers with something else is not the receiver's fault", async () => {
    const raw = kept(await startRawServer((socket) => socket.end("SSH-2.0-OpenSSH_9.2\r\n")));
    expect(await post(sender([], { proxy: `http://127.0.0.1:${raw.port}` }), "http://hooks.example/")).toMatch(
      /^sender_failed: no connection to the proxy/,
    );
  });
});
