/**
 * Decides which addresses webhooks may go to. Closed by default: only global unicast passes, unless
 * POSTHORN_TARGET_ALLOW opens a network.
 *
 * T1  An IPv6 address that embeds IPv4 ones passes only if its own network is opened and every address in it is public
 *     or opened as well. A v4-mapped one is the IPv4 address itself to the system: opening that opens both spellings.
 * T2  The sender asks at connect time, for every resolved address and again for the socket's peer. Here a URL is judged
 *     only as far as it can be without a look-up: what a name resolves to now says nothing about later.
 */
import { BlockList, isIP } from "node:net";
import { embeddedIpv4 } from "./embedded-ipv4.ts";

export interface AddressGuard {
  /** Why the address is refused, or null when it is allowed. */
  refuses(address: string): string | null;
  /** Why the URL can't be a webhook's, as far as can be told without a look-up; null when it can. */
  refusesUrl(url: string): string | null;
}

export interface AddressGuardOptions {
  readonly schemes?: readonly string[];
  /** From and to, both included. */
  readonly ports?: ReadonlyArray<readonly [first: number, last: number]>;
}

/** IPv4 that is not global unicast (IANA special-purpose registry, RFC 6890 and its updates). */
const REFUSED_IPV4: ReadonlyArray<readonly [network: string, bits: number]> = [
  ["0.0.0.0", 8],
  ["10.0.0.0", 8],
  ["100.64.0.0", 10],
  ["127.0.0.0", 8],
  ["169.254.0.0", 16],
  ["172.16.0.0", 12],
  ["192.0.0.0", 24],
  ["192.0.2.0", 24],
  ["192.88.99.0", 24],
  ["192.168.0.0", 16],
  ["198.18.0.0", 15],
  ["198.51.100.0", 24],
  ["203.0.113.0", 24],
  ["224.0.0.0", 4],
  ["240.0.0.0", 4],
];

/** Inside 2000::/3, the only global unicast block: protocol assignments (Teredo among them), documentation, 6to4. */
const REFUSED_IPV6: ReadonlyArray<readonly [network: string, bits: number]> = [
  ["2001::", 23],
  ["2001:db8::", 32],
  ["2002::", 16],
  ["3fff::", 20],
];

/** Always this machine (RFC 6761), whatever a resolver says. */
const LOOPBACK_NAME = /(^|\.)localhost\.?$/;

/** @param allow CIDRs that are open although they are not public. */
export function createAddressGuard(
  allow: readonly string[],
  { schemes = ["http", "https"], ports = [[1, 65_535]] }: AddressGuardOptions = {},
): AddressGuard {
  const refusedIpv4 = blockList(REFUSED_IPV4, "ipv4");
  const globalIpv6 = blockList([["2000::", 3]], "ipv6");
  const refusedIpv6 = blockList(REFUSED_IPV6, "ipv6");
  // A list of each family: one list for both takes ::ffff:0:0/96 for all of IPv4.
  const opened = allow.map((cidr) => cidr.split("/")).map(([network = "", bits]) => [network, Number(bits)] as const);
  const openedIpv4 = blockList(
    opened.filter(([network]) => isIP(network) === 4),
    "ipv4",
  );
  const openedIpv6 = blockList(
    opened.filter(([network]) => isIP(network) === 6),
    "ipv6",
  );

  const allowsIpv4 = (address: string): boolean => !refusedIpv4.check(address, "ipv4") || openedIpv4.check(address, "ipv4");

  const allowsIpv6 = (address: string): boolean => {
    const isOpened = openedIpv6.check(address, "ipv6");
    const embedded = embeddedIpv4(address);
    if (embedded === null) return isOpened || (globalIpv6.check(address, "ipv6") && !refusedIpv6.check(address, "ipv6"));
    if (embedded.form === "v4-mapped" && embedded.addresses.every((ipv4) => openedIpv4.check(ipv4, "ipv4"))) return true;
    return isOpened && embedded.addresses.every(allowsIpv4);
  };

  const refuses = (address: string): string | null => {
    const [bare = ""] = address.split("%");
    const family = isIP(bare);
    if (family === 0) return `${address} is not an IP address`;
    if (family === 4 ? allowsIpv4(bare) : allowsIpv6(bare)) return null;
    return `${address} is not a public address (POSTHORN_TARGET_ALLOW opens networks)`;
  };

  const refusesHost = (host: string): string | null => {
    if (isIP(host) !== 0) return refuses(host);
    if (LOOPBACK_NAME.test(host) && refuses("127.0.0.1") !== null && refuses("::1") !== null) return `${host}: ${refuses("127.0.0.1")}`;
    return null;
  };

  return {
    refuses,
    refusesUrl(text) {
      if (!URL.canParse(text)) return "not a URL";
      const url = new URL(text);
      const scheme = url.protocol.slice(0, -1);
      if (!schemes.includes(scheme)) return `scheme ${url.protocol} is not ${schemes.map((allowed) => `${allowed}:`).join(" or ")}`;
      if (url.username !== "" || url.password !== "") return "user name and password are not allowed in it";
      const port = url.port === "" ? (scheme === "https" ? 443 : 80) : Number(url.port);
      if (!ports.some(([first, last]) => port >= first && port <= last)) return `port ${port} is not allowed (POSTHORN_TARGET_PORTS)`;
      return refusesHost(url.hostname.replace(/^\[(.*)\]$/, "$1"));
    },
  };
}

function blockList(networks: ReadonlyArray<readonly [network: string, bits: number]>, family: "ipv4" | "ipv6"): BlockList {
  const list = new BlockList();
  for (const [network, bits] of networks) list.addSubnet(network, bits, family);
  return list;
}
