import { describe, expect, test } from "vitest";
import { createAddressGuard } from "../../../src/delivery/address-guard.ts";

const { refuses, refusesUrl } = createAddressGuard([]);

describe("addresses", () => {
  test.each([
    ...[
      "0.0.0.0",
      "0.1.2.3",
      "10.0.0.1",
      "10.255.255.255",
      "100.64.0.1",
      "100.127.255.255",
      "127.0.0.1",
      "127.255.255.254",
      "169.254.169.254",
      "172.16.0.1",
      "172.31.255.255",
    ],
    ...[
      "192.0.0.1",
      "192.0.2.1",
      "192.88.99.1",
      "192.168.0.1",
      "198.18.0.1",
      "198.19.255.255",
      "198.51.100.1",
      "203.0.113.1",
      "224.0.0.1",
      "239.255.255.255",
      "240.0.0.1",
      "255.255.255.255",
    ],
    ...[
      "::",
      "::1",
      "::ffff:127.0.0.1",
      "::ffff:8.8.8.8",
      "::ffff:7f00:1",
      "::127.0.0.1",
      "::8.8.8.8",
      "64:ff9b::7f00:1",
      "64:ff9b:1::1",
      "100::1",
      "2001::1",
      "2001:db8::1",
      "2002:7f00:1::",
      "2002::1",
      "3fff::1",
    ],
    ...["fc00::1", "fd12:3456::1", "fe80::1", "febf::1", "fec0::1", "ff02::1", "5f00::1", "4000::1"],
  ])("%s is refused", (address) => {
    expect(refuses(address)).toMatch(/is not a public address/);
  });

  test.each([
    "1.1.1.1",
    "8.8.8.8",
    "9.255.255.255",
    "11.0.0.1",
    "100.63.255.255",
    "100.128.0.1",
    "172.15.0.1",
    "172.32.0.1",
    "192.0.1.1",
    "198.17.255.255",
    "223.255.255.255",
    "2606:4700::1111",
    "2a00:1450::1",
    "2003::1",
  ])("%s is public", (address) => {
    expect(refuses(address)).toBeNull();
  });

  test("TARGET_ALLOW opens just what it names", () => {
    const opened = createAddressGuard(["127.0.0.0/8", "10.1.2.3/32", "fd00::/8"]);
    expect([opened.refuses("127.0.0.1"), opened.refuses("10.1.2.3"), opened.refuses("fd00::1")]).toEqual([null, null, null]);
    for (const address of ["10.1.2.4", "::1", "fc00::1", "192.168.0.1"]) expect(opened.refuses(address)).not.toBeNull();
  });

  test("what is no address is refused", () => {
    expect(refuses("localhost")).toBe("localhost is not an IP address");
  });
});

describe("URLs", () => {
  test.each<[string, RegExp]>([
    ["not a url", /not a URL/],
    ["ftp://files.example/", /scheme ftp: is not http: or https:/],
    ["file:///etc/passwd", /scheme file:/],
    ["javascript:alert(1)", /scheme javascript:/],
    ["https://user:pass@hooks.example/", /user name and password/],
    ["https://user@hooks.example/", /user name and password/],
    ["http://127.0.0.1/", /127\.0\.0\.1 is not a public address/],
    ["http://2130706433/", /127\.0\.0\.1 is not a public address/],
    ["http://0x7f.1/", /127\.0\.0\.1 is not a public address/],
    ["http://[::1]/", /::1 is not a public address/],
    ["http://[::ffff:127.0.0.1]/", /is not a public address/],
  ])("%s is refused", (url, reason) => {
    expect(refusesUrl(url)).toMatch(reason);
  });

  test.each(["https://hooks.acme.example/in?x=1", "http://hooks.acme.example:8080/", "https://8.8.8.8/", "https://müller.example/"])(
    "%s is accepted",
    (url) => {
      expect(refusesUrl(url)).toBeNull();
    },
  );
});
