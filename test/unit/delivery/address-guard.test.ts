/** What can be told without a socket; every spelling through the real sender is in test/integration/targets.test.ts. */
import { describe, expect, test } from "vitest";
import { createAddressGuard } from "../../../src/delivery/address-guard.ts";
import { embeddedIpv4 } from "../../../src/delivery/embedded-ipv4.ts";
import { LOOPBACK_HOSTS, OTHER_LOOPBACK_HOSTS, PUBLIC_HOSTS, REFUSED_HOSTS } from "../../support/target-vectors.ts";

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
