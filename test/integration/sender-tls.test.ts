/** TLS with receivers: what is trusted, what is not, and what the request log says about it. */
import type { TlsOptions } from "node:tls";
import { afterAll, afterEach, describe, expect, test } from "vitest";
import type { Sender, SenderOptions } from "../../src/delivery/http/sender.ts";
import { makeAuthority } from "../support/certificates.ts";
import { startConnectProxy } from "../support/connect-proxy.ts";
import { startRawServer } from "../support/raw-server.ts";
import { startReceiver } from "../support/receiver.ts";
import { makeSender } from "../support/sender.ts";

const authority = makeAuthority();
const stranger = makeAuthority("Somebody Else");
const good = authority.issue("DNS:localhost,IP:127.0.0.1");
afterAll(() => {
  authority.remove();
  stranger.remove();
});

const cleanups: Array<() => Promise<unknown> | unknown> = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function server(tls: TlsOptions): Promise<{ port: number; url: string }> {
  const started = await startRawServer((socket) => socket.write("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"), tls);
  cleanups.push(started.stop);
  return { ...started, url: `https://localhost:${started.port}/` };
}

function sender(options: Partial<SenderOptions> = {}): Sender {
  const made = makeSender({ connectionsPerOrigin: 4, extraAuthorities: authority.cert, ...options });
  cleanups.push(made.close);
  return made;
}

async function post(from: Sender, url: string) {
  const result = await from.send({ url, headers: {}, body: Buffer.from("{}"), timeoutMs: 5_000 });
  return result.kind === "answered" ? result.status : `${result.kind}: ${result.error}`;
}

describe("a certificate", () => {
  test("of an authority in POSTHORN_TARGET_CA_FILE is trusted, by name and by address", async () => {
    const { url } = await server({ key: good.key, cert: good.cert });
    const from = sender();
    expect(await post(from, url)).toBe(200);
    expect(await post(from, url.replace("localhost", "127.0.0.1"))).toBe(200);
  });

  test.each<[what: string, certificate: { key: string; cert: string }, reason: RegExp]>([
    ["that has expired", authority.issue("DNS:localhost", { days: -1 }), /^unreachable: CERT_HAS_EXPIRED: certificate has expired/],
    ["for another host", authority.issue("DNS:other.example"), /^unreachable: ERR_TLS_CERT_ALTNAME_INVALID: Hostname\/IP does not match/],
    ["that signs itself", stranger, /^unreachable: DEPTH_ZERO_SELF_SIGNED_CERT: self-signed certificate/],
    ["of an unknown authority", stranger.issue("DNS:localhost"), /^unreachable: UNABLE_TO_VERIFY_LEAF_SIGNATURE: /],
  ])("%s is unreachable, with the reason", async (_what, { key, cert }, reason) => {
    const { url } = await server({ key, cert });
    expect(await post(sender(), url)).toMatch(reason);
  });

  test("is verified whatever NODE_TLS_REJECT_UNAUTHORIZED says", async () => {
    const { url } = await server({ key: stranger.key, cert: stranger.cert });
    const before = process.env["NODE_TLS_REJECT_UNAUTHORIZED"];
    process.env["NODE_TLS_REJECT_UNAUTHORIZED"] = "0";
    try {
      expect(await post(sender(), url)).toMatch(/^unreachable: DEPTH_ZERO_SELF_SIGNED_CERT/);
    } finally {
      if (before === undefined) delete process.env["NODE_TLS_REJECT_UNAUTHORIZED"];
      else process.env["NODE_TLS_REJECT_UNAUTHORIZED"] = before;
    }
  });

  test("is the receiver's and not the proxy's business: TLS goes through the tunnel", async () => {
    const { url, port } = await server({ key: good.key, cert: good.cert });
    const proxy = await startConnectProxy(port);
    cleanups.push(proxy.stop);
    expect(await post(sender({ proxy: proxy.url }), url)).toBe(200);
    expect(await post(sender({ proxy: proxy.url }), "https://other.example/")).toMatch(/^unreachable: ERR_TLS_CERT_ALTNAME_INVALID/);
    expect(proxy.requests.map(({ authority: asked }) => asked)).toEqual([`localhost:${port}`, "other.example:443"]);
  });

  test("with thousands of names makes no long error", async () => {
    const names = Array.from({ length: 1_500 }, (_, n) => `DNS:name-${n}.other.example`).join(",");
    const { url } = await server(authority.issue(names));
    expect(String(await post(sender(), url)).length).toBeLessThan(400);
  });
});

describe("the version", () => {
  test("is at least TLS 1.2", async () => {
    const { url } = await server({ ...good, minVersion: "TLSv1", maxVersion: "TLSv1.1", ciphers: "DEFAULT@SECLEVEL=0" });
    expect(await post(sender(), url)).toMatch(/^unreachable: ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION: tlsv1 alert protocol version$/);
  });

  test("can be raised to TLS 1.3", async () => {
    const { url } = await server({ ...good, maxVersion: "TLSv1.2" });
    expect(await post(sender(), url)).toBe(200);
    expect(await post(sender({ tlsMinVersion: "TLSv1.3" }), url)).toMatch(/^unreachable: ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION/);
  });
});

describe("a receiver that wants a client certificate", () => {
  test.each([
    ["TLSv1.2", /^unreachable: .* alert handshake failure \(.*a client certificate.*\)$/],
    ["TLSv1.3", /^unreachable: .* alert certificate required \(the receiver asks for a client certificate\)$/],
  ] as const)("is unreachable with %s, and the row says why", async (version, reason) => {
    const { url } = await server({ ...good, ca: authority.cert, requestCert: true, minVersion: version, maxVersion: version });
    const from = sender();
    // With TLS 1.3 the refusal comes after the handshake, when the request is under way.
    for (let times = 0; times < 5; times++) expect(await post(from, url)).toMatch(reason);
  });
});

test("a kept connection that is closed under a request is made good by a fresh one", async () => {
  const used = new Set<unknown>();
  const started = await startRawServer((socket) => {
    if (used.has(socket)) return void socket.end();
    used.add(socket);
    socket.write("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
  }, good);
  cleanups.push(started.stop);
  const from = sender({ connectionsPerOrigin: 1 });
  for (let times = 0; times < 4; times++) expect(await post(from, `https://localhost:${started.port}/`)).toBe(200);
  expect(started.connections()).toBe(4);
});

describe("one deadline", () => {
  test("covers a handshake that never ends", async () => {
    const started = await startRawServer(() => {});
    cleanups.push(started.stop);
    const url = `https://127.0.0.1:${started.port}/`;
    expect(await post(sender({ connectTimeoutMs: 200 }), url)).toBe("timed_out: no connection within 200 ms (in the TLS handshake)");
    const result = await sender().send({ url, headers: {}, body: Buffer.from("{}"), timeoutMs: 200 });
    expect(result).toEqual({ kind: "timed_out", error: "no answer within 200 ms" });
  });
});

test("a receiver that speaks no TLS is unreachable, with the reason", async () => {
  const receiver = await startReceiver();
  cleanups.push(receiver.stop);
  expect(await post(sender(), receiver.url.replace("http:", "https:"))).toBe(
    "unreachable: ERR_SSL_WRONG_VERSION_NUMBER: wrong version number",
  );
});
