/** What can be told without a socket; every spelling through the real sender is in test/integration/targets.test.ts. */
import { networkInterfaces } from "node:os";
import { describe, expect, test } from "vitest";
import { createAddressGuard } from "../../../../src/delivery/http/address-guard.ts";
import { embeddedIpv4 } from "../../../../src/delivery/http/embedded-ipv4.ts";
import { createOwnAddress } from "../../../../src/delivery/http/own-address.ts";
import { LOOPBACK_HOSTS, OTHER_LOOPBACK_HOSTS, PUBLIC_HOSTS, REFUSED_HOSTS } from "../../../support/target-vectors.ts";

const { refuses, refusesUrl } = createAddressGuard([]);

test("TARGET_ALLOW opens just what it names", () => {
  const opened = createAddressGuard(["127.0.0.0/8", "10.1.2.3/32", "fd00::/8"]);
  expect([opened.refuses("127.0.0.1"), opened.refuses("10.1.2.3"), opened.refuses("fd00::1")]).toEqual([null, null, null]);
  for (const address of ["10.1.2.4", "::1", "fc00::1", "192.168.0.1"]) expect(opened.refuses(address)).not.toBeNull();
});

test("a v4-mapped address is the IPv4 address in it", () => {
  const opened = createAddressGuard(["127.0.0.0/8", "8.0.0.0/8"]);
  expect([opened.refuses("::ffff:127.0.0.1"), opened.refuses("::ffff:8.8.8.8")]).toEqual([null, null]);
  for (const address of ["::ffff:10.0.0.1", "::ffff:9.9.9.9", "::127.0.0.1", "64:ff9b::127.0.0.1"])
    expect(opened.refuses(address)).not.toBeNull();
});

test("opening one family opens nothing of the other", () => {
  expect(createAddressGuard(["::/0"]).refuses("10.0.0.1")).not.toBeNull();
  expect(createAddressGuard(["::/0"]).refuses("::ffff:10.0.0.1")).not.toBeNull();
  expect(createAddressGuard(["0.0.0.0/0"]).refuses("::1")).not.toBeNull();
});

describe("a host name in TARGET_ALLOW", () => {
  const opened = createAddressGuard(["hooks.internal.example", "*.apps.internal.example", "10.1.0.0/16"]);
  const at = (host: string, address = "10.0.0.1") => opened.refuses(address, { host, port: 443 });

  test.each(["hooks.internal.example", "HOOKS.internal.example.", "a.apps.internal.example", "a.b.apps.internal.example"])(
    "opens what %s resolves to",
    (host) => {
      expect([at(host), at(host, "127.0.0.1"), at(host, "::ffff:10.0.0.1"), at(host, "fd00::1")]).toEqual([null, null, null, null]);
    },
  );

  test.each([
    "internal.example",
    "a.hooks.internal.example",
    "apps.internal.example",
    "evilapps.internal.example",
    "hooks.internal.example.evil.example",
    "hooks-internal.example",
    "10.0.0.1",
  ])("opens nothing for %s", (host) => {
    expect(at(host)).toMatch(/is not a public address/);
    expect(at(host, "10.1.0.1")).toBeNull();
  });

  test("may be localhost's", () => {
    const loopback = createAddressGuard(["a.localhost"]);
    expect([loopback.refusesUrl("http://a.localhost/"), loopback.refusesUrl("http://b.localhost/")]).toEqual([
      null,
      expect.stringMatching(/b\.localhost: 127\.0\.0\.1 is not a public address/),
    ]);
  });
});

describe("TARGET_DENY", () => {
  const deny = ["10.0.0.0/8", "8.8.8.8/32", "2606:4700::/32", "bad.example", "*.worse.example"];
  const guard = createAddressGuard(["0.0.0.0/0", "::/0", "bad.example", "a.worse.example", "good.example"], { deny });

  test.each([
    ...["10.1.2.3", "8.8.8.8", "2606:4700::1", "::ffff:10.1.2.3", "::ffff:a01:203", "::10.1.2.3", "64:ff9b::8.8.8.8"],
    ...["64:ff9b:1::10.1.2.3", "2002:a01:203::1", "2001:0:a01:203::1", "2001:0:909:909:0:0:f7f7:f7f7"],
  ])("closes %s in each form, whatever is opened", (address) => {
    expect(guard.refuses(address)).toBe(`${address} is denied (POSTHORN_TARGET_DENY)`);
    expect(guard.refuses(address, { host: "good.example", port: 443 })).toBe(`${address} is denied (POSTHORN_TARGET_DENY)`);
  });

  test.each(["bad.example", "BAD.example.", "a.worse.example", "a.b.worse.example", "10.1.2.3", "167838211", "[::ffff:10.1.2.3]"])(
    "closes the URL http://%s/",
    (host) => {
      expect(guard.refusesUrl(`http://${host}/`)).toMatch(/ is denied \(POSTHORN_TARGET_DENY\)$/);
    },
  );

  test("closes nothing else", () => {
    for (const address of ["9.9.9.9", "11.0.0.1", "2606:4701::1", "64:ff9b::9.9.9.9"]) expect(guard.refuses(address)).toBeNull();
    for (const host of ["worse.example", "notbad.example", "bad.example.org"]) expect(guard.refusesUrl(`https://${host}/`)).toBeNull();
  });
});

describe("Posthorn's own port", () => {
  const guardAt = (host: string) => {
    const own = createOwnAddress();
    own.listensAt(host, 8080);
    return createAddressGuard(["0.0.0.0/0", "::/0"], { isOwn: own.is });
  };
  const [mine] = Object.values(networkInterfaces()).flatMap((all = []) => all.filter(({ internal }) => !internal));
  const loopback = ["127.0.0.1", "127.1", "0.0.0.0", "2130706433", "[::ffff:127.0.0.1]"];

  test.each(loopback)("on loopback is closed as http://%s:8080/, and open at another port", (host) => {
    expect(guardAt("127.0.0.1").refusesUrl(`http://${host}:8080/`)).toMatch(/is Posthorn's own at port 8080$/);
    expect(guardAt("127.0.0.1").refusesUrl(`http://${host}:8081/`)).toBeNull();
  });

  test.each(["0.0.0.0", "::", "localhost"])("on %s is closed at each address of this machine", (host) => {
    const addresses = [
      ...loopback,
      "127.0.0.2",
      "[::1]",
      ...(mine === undefined ? [] : [mine.family === "IPv6" ? `[${mine.address}]` : mine.address]),
    ];
    for (const address of addresses) expect(guardAt(host).refusesUrl(`http://${address}:8080/`)).toMatch(/is Posthorn's own/);
    expect(guardAt(host).refusesUrl("http://9.9.9.9:8080/")).toBeNull();
  });

  test("closes nothing before it is known", () => {
    expect(createAddressGuard(["127.0.0.0/8"], { isOwn: createOwnAddress().is }).refusesUrl("http://127.0.0.1:8080/")).toBeNull();
  });
});

test("a zone does not get around it", () => {
  expect(refuses("fe80::1%eth0")).not.toBeNull();
  expect(createAddressGuard(["fe80::/10"]).refuses("fe80::1%eth0")).toBeNull();
});

test("what is no address is refused", () => {
  expect(refuses("localhost")).toBe("localhost is not an IP address");
  expect(refuses("")).toBe(" is not an IP address");
});

describe("when an app is saved", () => {
  test.each([...LOOPBACK_HOSTS, ...OTHER_LOOPBACK_HOSTS, ...REFUSED_HOSTS])("https://%s/ is refused", (host) => {
    expect(refusesUrl(`https://${host}/`)).toMatch(/is not a public address \(POSTHORN_TARGET_ALLOW opens networks\)$/);
  });

  test.each(PUBLIC_HOSTS)("https://%s/ is accepted", (host) => {
    expect(refusesUrl(`https://${host}/`)).toBeNull();
  });

  test.each([
    "https://hooks.acme.example/in?x=1",
    "http://hooks.acme.example:8080/",
    "https://müller.example/",
    "https://localhosts.example/",
  ])("%s is accepted", (url) => {
    expect(refusesUrl(url)).toBeNull();
  });
});

test.each<[string, string, readonly string[]]>([
  ["::ffff:1.2.3.4", "v4-mapped", ["1.2.3.4"]],
  ["0:0:0:0:0:ffff:102:304", "v4-mapped", ["1.2.3.4"]],
  ["::1.2.3.4", "v4-compatible", ["1.2.3.4"]],
  ["64:ff9b::102:304", "NAT64", ["1.2.3.4"]],
  ["64:ff9b:1:2:3:4:1.2.3.4", "NAT64", ["1.2.3.4"]],
  ["2002:102:304::", "6to4", ["1.2.3.4"]],
  ["2001:0:102:304:0:0:fefd:fcfb", "Teredo", ["1.2.3.4", "1.2.3.4"]],
])("in %s is a %s address", (address, form, addresses) => {
  expect(embeddedIpv4(address)).toEqual({ form, addresses });
});

test.each(["::", "::1", "2606:4700::1111", "2001:1::1", "fd00::1", "::ffff:0:1.2.3.4"])("in %s is no IPv4 address", (address) => {
  expect(embeddedIpv4(address)).toBeNull();
});
