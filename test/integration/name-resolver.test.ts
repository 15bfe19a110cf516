/** Names to addresses, asked of a name server of our own. */
import { mkdtempSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import { createNameResolver, type NameResolver, type NameResolverOptions } from "../../src/delivery/http/name-resolver.ts";
import { createSearchList } from "../../src/delivery/http/search-list.ts";
import { type DnsServer, startDnsServer, type Zone } from "../support/dns-server.ts";
import { eventually } from "../support/eventually.ts";
import { startReceiver } from "../support/receiver.ts";
import { makeSender } from "../support/sender.ts";

const cleanups: Array<() => Promise<unknown> | unknown> = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function dnsServer(zone: Zone, ttlS?: number): Promise<DnsServer> {
  const started = await startDnsServer(zone, ttlS);
  cleanups.push(started.stop);
  return started;
}

function resolverOf(dns: DnsServer, options: Partial<NameResolverOptions> = {}): NameResolver {
  const resolver = createNameResolver({ timeoutMs: 5_000, servers: [dns.address], ...options });
  cleanups.push(() => resolver.close());
  return resolver;
}

function ask(resolver: NameResolver, name: string): Promise<readonly string[] | string> {
  return new Promise((resolve) => {
    resolver.resolve(name, (error, addresses) => resolve(error === null ? addresses : `${(error as { code?: string }).code}`));
  });
}

function file(text: string): string {
  const folder = mkdtempSync(join(tmpdir(), "posthorn-names-"));
  cleanups.push(() => rmSync(folder, { recursive: true }));
  const path = join(folder, "file");
  writeFileSync(path, text);
  return path;
}

test("all addresses of both families come, IPv6 first", async () => {
  const resolver = resolverOf(await dnsServer({ "two.example": ["192.0.2.1", "192.0.2.2", "2001:db8::1"] }));
  expect(await ask(resolver, "two.example")).toEqual(["2001:db8::1", "192.0.2.1", "192.0.2.2"]);
  expect(await ask(resolver, "TWO.example.")).toEqual(["2001:db8::1", "192.0.2.1", "192.0.2.2"]);
});

test("a name that doesn't exist, has no address or can't be one is an error of its own", async () => {
  const resolver = resolverOf(await dnsServer({ "empty.example": [] }));
  expect(await ask(resolver, "nowhere.example")).toBe("ENOTFOUND");
  expect(await ask(resolver, "empty.example")).toBe("ENODATA");
  expect(await ask(resolver, `${"x".repeat(64)}.example`)).toMatch(/^E(BADNAME|NOTFOUND)$/);
  expect(await ask(resolver, "..")).toMatch(/^E/);
});

describe("the hosts file", () => {
  test("is asked first, also for what it has changed to", async () => {
    const path = file(
      "# comment\n192.0.2.7 Hooks.example other.example # behind\n2001:db8::7\thooks.example\nfe80::1%lo zone.example\nnonsense\n",
    );
    const dns = await dnsServer({ "hooks.example": ["192.0.2.1"] });
    const resolver = resolverOf(dns, { hostsFile: path });
    expect(await ask(resolver, "hooks.EXAMPLE.")).toEqual(["192.0.2.7", "2001:db8::7"]);
    expect(await ask(resolver, "other.example")).toEqual(["192.0.2.7"]);
    expect(await ask(resolver, "zone.example")).toBe("ENOTFOUND");
    expect(await ask(resolver, "constructor")).toBe("ENOTFOUND");
    expect(dns.lookups("hooks.example")).toBe(0);
    writeFileSync(path, "192.0.2.8 hooks.example\n");
    utimesSync(path, new Date(), new Date(Date.now() + 60_000));
    await eventually(async () => String(await ask(resolver, "hooks.example")) === "192.0.2.8");
  });

  test("need not have localhost, which is always this machine", async () => {
    const dns = await dnsServer({ localhost: ["192.0.2.1"], "a.localhost": ["192.0.2.1"] });
    const resolver = resolverOf(dns, { hostsFile: "/does/not/exist" });
    for (const name of ["localhost", "localhost.", "a.localhost"]) expect(await ask(resolver, name)).toEqual(["127.0.0.1", "::1"]);
    expect(dns.lookups("localhost")).toBe(0);
  });
});

test("the search list of resolv.conf applies as resolv.conf(5) has it", () => {
  const candidates = (text: string, name: string) => createSearchList(file(text)).candidates(name);
  const cluster = "search ns.svc.cluster.local svc.cluster.local. # x\noptions timeout:1 ndots:5\nnameserver 192.0.2.1\n";
  expect(candidates(cluster, "hooks")).toEqual(["hooks.ns.svc.cluster.local", "hooks.svc.cluster.local", "hooks"]);
  expect(candidates(cluster, "a.b.c.d.e.f")).toEqual(["a.b.c.d.e.f", "a.b.c.d.e.f.ns.svc.cluster.local", "a.b.c.d.e.f.svc.cluster.local"]);
  expect(candidates(cluster, "hooks.")).toEqual(["hooks"]);
  expect(candidates("domain a.example\nsearch b.example\n", "hooks.example")).toEqual(["hooks.example", "hooks.example.b.example"]);
  expect(candidates("", "hooks")).toEqual(["hooks"]);
  expect(createSearchList("/does/not/exist").candidates("hooks")).toEqual(["hooks"]);
});

describe("a look-up", () => {
  test("is one for all who ask meanwhile, and for as long as its record may be kept", async () => {
    const dns = await dnsServer({ "kept.example": ["192.0.2.1"] }, 60);
    const resolver = resolverOf(dns);
    const answers = await Promise.all(Array.from({ length: 40 }, () => ask(resolver, "kept.example")));
    expect(new Set(answers.map(String))).toEqual(new Set(["192.0.2.1"]));
    await ask(resolver, "kept.example");
    expect(dns.lookups("kept.example")).toBe(1);
  });

  test("is made again when its record may not be kept", async () => {
    const dns = await dnsServer({ "fresh.example": (nth) => [`192.0.2.${nth}`] });
    const resolver = resolverOf(dns);
    expect([await ask(resolver, "fresh.example"), await ask(resolver, "fresh.example")]).toEqual([["192.0.2.1"], ["192.0.2.2"]]);
  });

  test("that fails is not made again at once", async () => {
    const dns = await dnsServer({});
    const resolver = resolverOf(dns);
    for (let times = 0; times < 5; times++) expect(await ask(resolver, "nowhere.example")).toBe("ENOTFOUND");
    expect(dns.lookups("nowhere.example")).toBe(1);
  });

  test("without an answer ends in time, for all who ask, and fails at once for a while", async () => {
    const dns = await dnsServer({ "silent.example": () => null });
    const resolver = resolverOf(dns, { timeoutMs: 300 });
    const answers = await Promise.all(Array.from({ length: 40 }, () => ask(resolver, "silent.example")));
    expect(new Set(answers)).toEqual(new Set(["ETIMEOUT"]));
    const asked = dns.lookups("silent.example");
    expect(await ask(resolver, "silent.example")).toBe("ETIMEOUT");
    expect(dns.lookups("silent.example")).toBe(asked);
  });

  test("that somebody leaves continues for the others", async () => {
    const resolver = resolverOf(await dnsServer({ "left.example": ["192.0.2.1"] }));
    let told = 0;
    resolver.resolve("left.example", () => told++)();
    expect(await ask(resolver, "left.example")).toEqual(["192.0.2.1"]);
    expect(told).toBe(0);
  });

  test("of names whose server doesn't answer holds up no other name", async () => {
    const receiver = await startReceiver();
    cleanups.push(receiver.stop);
    const silent = Object.fromEntries(Array.from({ length: 200 }, (_, n) => [`silent-${n}.example`, () => null]));
    const dns = await dnsServer({ ...silent, "good.example": ["127.0.0.1"] });
    const sender = makeSender({ resolver: resolverOf(dns, { timeoutMs: 60_000 }), connectTimeoutMs: 60_000 });
    const send = (host: string) =>
      sender.send({ url: `http://${host}:${receiver.port}/`, headers: {}, body: Buffer.from("{}"), timeoutMs: 60_000 });
    let ended = 0;
    const hanging = Object.keys(silent).map((host) => send(host).then(() => ended++));
    for (let times = 0; times < 5; times++) expect(await send("good.example")).toMatchObject({ kind: "answered", status: 200 });
    expect(ended).toBe(0);
    await sender.close();
    await Promise.all(hanging);
  });
});
