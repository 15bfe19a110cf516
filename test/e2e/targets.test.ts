/** Where webhooks may go and how their hosts are looked up, by the settings of a running Posthorn. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type DnsServer, startDnsServer } from "../support/dns-server.ts";
import { eventually } from "../support/eventually.ts";
import { type Bus, connectBus, type Posthorn, startPosthornHere } from "../support/posthorn.ts";
import { type Receiver, startReceiver } from "../support/receiver.ts";
import { type Server, startNatsServer, startRedisServer } from "../support/servers.ts";

let nats: Server;
let redis: Server;
let dns: DnsServer;
let receiver: Receiver;
let posthorn: Posthorn;
let bus: Bus;

beforeAll(async () => {
  [nats, redis, receiver] = await Promise.all([startNatsServer(), startRedisServer(), startReceiver(undefined, 0, "0.0.0.0")]);
  dns = await startDnsServer({
    "hooks.example": ["127.0.0.1"],
    "inside.other.example": ["127.0.0.1"],
    "denied.example": ["127.0.0.9"],
    "a.denied.example": ["127.0.0.1"],
    "silent.example": () => null,
    "moves.example": (nth) => [nth === 1 ? "127.0.0.10" : "127.0.0.1"],
  });
  posthorn = await startPosthornHere({
    nats,
    redis,
    settings: {
      POSTHORN_TARGET_ALLOW: "127.0.0.8/29,0.0.0.0/2,hooks.example,*.denied.example,moves.example",
      POSTHORN_TARGET_DENY: "127.0.0.9,a.denied.example",
      POSTHORN_TARGET_DNS_SERVERS: dns.address,
      POSTHORN_CONNECT_TIMEOUT: "2s",
      POSTHORN_CIRCUIT_MIN_ATTEMPTS: "1000",
    },
  });
  bus = await connectBus(nats, posthorn.prefix);
});
afterAll(async () => {
  await bus.close();
  expect(await posthorn.end()).toBe(0);
  await Promise.all([nats.stop(), redis.stop(), receiver.stop(), dns.stop()]);
});

async function save(url: string): Promise<string> {
  const { status, body } = await posthorn.api("PUT", "/v1/apps/saved", { webhook_url: url });
  return status < 300 ? "saved" : (body.errors?.[0]?.message ?? JSON.stringify(body));
}

test("a very wide network in TARGET_ALLOW is a warning at start", () => {
  const warned = posthorn.log.filter(({ message }) => String(message).startsWith("POSTHORN_TARGET_ALLOW opens a very wide network"));
  expect(warned.map(({ network, level }) => [network, level])).toEqual([["0.0.0.0/2", "warn"]]);
});

test("a host name in TARGET_ALLOW is open, another one at the same address isn't, and TARGET_DENY wins", async () => {
  const { slug } = await posthorn.install({ webhook_url: `http://hooks.example:${receiver.port}/named`, events: [] });
  expect((await posthorn.api("POST", `/v1/apps/${slug}/test`)).body).toMatchObject({ outcome: "delivered" });
  expect(await save("http://inside.other.example/")).toMatch(/inside\.other\.example: one of its addresses is not a public address/);
  expect(await save("http://denied.example/")).toMatch(/denied\.example: one of its addresses is denied \(POSTHORN_TARGET_DENY\)/);
  expect(await save("http://a.denied.example/")).toMatch(/a\.denied\.example is denied \(POSTHORN_TARGET_DENY\)/);
  expect(await save("http://127.0.0.9/")).toMatch(/127\.0\.0\.9 is denied/);
  expect(await save("http://127.0.0.10/")).toBe("saved");
});

describe("Posthorn's own port", () => {
  test("can't be saved, nor reached by a name that leads there", async () => {
    const { port } = new URL(posthorn.url);
    expect(await save(`http://hooks.example:${port}/v1/apps`)).toMatch(/one of its addresses is Posthorn's own at port/);
    expect(await save(`http://hooks.example:${receiver.port}/`)).toBe("saved");
    // Somewhere else when it is saved.
    const { slug } = await posthorn.install({ webhook_url: `http://moves.example:${port}/v1/apps`, events: [] });
    expect((await posthorn.api("POST", `/v1/apps/${slug}/test`)).body).toMatchObject({
      outcome: "blocked",
      error: `moves.example: one of its addresses is Posthorn's own at port ${port}`,
    });
  });
});

test("an app whose name server doesn't answer holds up nobody else's new connections", async () => {
  const [silent, good] = ["401", "402"];
  for (let n = 0; n < 4; n++)
    await posthorn.install({ webhook_url: `http://silent.example:${receiver.port}/${n}`, organization_id: silent, timeout_ms: 60_000 });
  // A connection of its own each: loopback has many addresses.
  const paths = Array.from({ length: 7 }, (_, n) => `/good-${n}`);
  for (const [n, path] of paths.entries())
    if (n !== 1) await posthorn.install({ webhook_url: `http://127.0.0.${8 + n}:${receiver.port}${path}`, organization_id: good });
  for (let n = 0; n < 40; n++) await bus.publish("issue.created", { id: `silent-${n}`, organization_id: silent, data: {} });
  await bus.publish("issue.created", { id: "good", organization_id: good, data: {} });
  await eventually(() => receiver.requests.filter(({ path }) => path.startsWith("/good-")).length === 6);
  // One look-up at a time for all four apps.
  expect(dns.lookups("silent.example")).toBeLessThan(20);
  const failed = await eventually(() => posthorn.log.find(({ outcome }) => outcome === "sender_failed"));
  expect(failed["error"]).toMatch(/looking the name up|name server did not answer/);
});
