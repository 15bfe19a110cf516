/**
 * Decides which addresses webhooks may go to. By default only global unicast addresses are allowed. POSTHORN_TARGET_ALLOW opens
 * networks and names; POSTHORN_TARGET_DENY closes networks and names, and always wins.
 *
 * GUARD-1  An IPv6 address with embedded IPv4 addresses is allowed only if its own network is opened and every embedded address is
 *          public or opened. The system treats a v4-mapped address as the IPv4 address: opening that one opens both spellings.
 * GUARD-2  The sender asks at connect time, for every resolved address and again for the socket's peer. `refusesUrl` checks a URL
 *          without a look-up: the addresses of a name may change.
 * GUARD-3  Posthorn's own HTTP port is closed, whatever is opened: otherwise a webhook could call the API from loopback.
 */
import { BlockList, isIP } from "node:net";
import { embeddedIpv4, ipv4Of } from "./embedded-ipv4.ts";
import { createHostPatterns } from "./host-patterns.ts";

/** The part of a URL that resolved to an address. */
export interface GuardedTarget {
  /** The URL's host: a name, or an address without brackets. */
  readonly host: string;
  readonly port: number;
}

export interface AddressGuard {
  /** Why the address is refused, as a text that begins with the address; null when it is allowed. */
  refuses(address: string, target?: GuardedTarget): string | null;
  /** Why the URL can't be a webhook's, without a look-up of its name; null when it can. */
  refusesUrl(url: string): string | null;
}

export interface AddressGuardOptions {
  readonly schemes?: readonly string[];
  /** First and last port, both included. */
  readonly ports?: ReadonlyArray<readonly [first: number, last: number]>;
  /** CIDRs and host names that are closed. */
  readonly deny?: readonly string[];
  /** Whether Posthorn listens there. */
  readonly isOwn?: (address: string, port: number) => boolean;
}

/** IPv4 that is not global unicast (IANA special-purpose registry, RFC 6890 and its updates). */
const REFUSED_IPV4: ReadonlyArray<readonly [network: string, bits: number]> = [
  ["0.0.0.0", 8],
  ["10.0.0.0", 8],
  ["100.64.0.0", 10],
  ["127.0.0.0", 8],
  // Public by the registry, but the address of the platform services inside every Azure machine.
  ["168.63.129.16", 32],
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

/** @param allow CIDRs and host names (`hooks.example`, `*.example`) that are open although they are not public */
export function createAddressGuard(
  allow: readonly string[],
  { schemes = ["http", "https"], ports = [[1, 65_535]], deny = [], isOwn = () => false }: AddressGuardOptions = {},
): AddressGuard {
  const special = networksOf(REFUSED_IPV4, REFUSED_IPV6);
  const globalUnicast = networksOf([], [["2000::", 3]]);
  const opened = networksOf(...cidrsOf(allow));
  const denied = networksOf(...cidrsOf(deny));
  const openedHosts = createHostPatterns(allow);
  const deniedHosts = createHostPatterns(deny);

  const allowsIpv4 = (address: string): boolean => !special.hasIpv4(address) || opened.hasIpv4(address);

  const allowsIpv6 = (address: string): boolean => {
    const isOpened = opened.hasIpv6(address);
    const embedded = embeddedIpv4(address);
    if (embedded === null) return isOpened || (globalUnicast.hasIpv6(address) && !special.hasIpv6(address));
    if (embedded.form === "v4-mapped" && embedded.addresses.every(opened.hasIpv4)) return true;
    return isOpened && embedded.addresses.every(allowsIpv4);
  };

  const denies = (address: string): boolean => {
    if (isIP(address) === 4) return denied.hasIpv4(address);
    return denied.hasIpv6(address) || (embeddedIpv4(address)?.addresses.some(denied.hasIpv4) ?? false);
  };

  const refuses: AddressGuard["refuses"] = (address, target) => {
    const [bare = ""] = address.split("%");
    const family = isIP(bare);
    if (family === 0) return `${address} is not an IP address`;
    if (denies(bare)) return `${address} is denied (POSTHORN_TARGET_DENY)`;
    if (target !== undefined && isOwn(ipv4Of(bare) ?? bare, target.port)) return `${address} is Posthorn's own at port ${target.port}`;
    if (family === 4 ? allowsIpv4(bare) : allowsIpv6(bare)) return null;
    if (target !== undefined && openedHosts.has(target.host)) return null;
    return `${address} is not a public address (POSTHORN_TARGET_ALLOW opens networks)`;
  };

  const refusesHost = (target: GuardedTarget): string | null => {
    const { host } = target;
    if (isIP(host) !== 0) return refuses(host, target);
    if (deniedHosts.has(host)) return `${host} is denied (POSTHORN_TARGET_DENY)`;
    const isLoopback = LOOPBACK_NAME.test(host);
    if (!isLoopback || refuses("127.0.0.1", target) === null || refuses("::1", target) === null) return null;
    return `${host}: ${refuses("127.0.0.1", target)}`;
  };

  return {
    refuses,
    refusesUrl(text) {
      if (!URL.canParse(text)) return "not a URL";
      const url = new URL(text);
      const scheme = url.protocol.slice(0, -1);
      if (!schemes.includes(scheme)) return `scheme ${url.protocol} is not ${schemes.map((allowed) => `${allowed}:`).join(" or ")}`;
      if (url.username !== "" || url.password !== "") return "user name and password are not allowed";
      const port = url.port === "" ? (scheme === "https" ? 443 : 80) : Number(url.port);
      if (!ports.some(([first, last]) => port >= first && port <= last)) return `port ${port} is not allowed (POSTHORN_TARGET_PORTS)`;
      return refusesHost({ host: url.hostname.replace(/^\[(.*)\]$/, "$1"), port });
    },
  };
}

type Networks = ReadonlyArray<readonly [network: string, bits: number]>;

/** The CIDRs of a list of CIDRs and host names, by family. */
function cidrsOf(list: readonly string[]): [ipv4: Networks, ipv6: Networks] {
  const networks = list.map((cidr) => cidr.split("/")).map(([network = "", bits]) => [network, Number(bits)] as const);
  return [networks.filter(([network]) => isIP(network) === 4), networks.filter(([network]) => isIP(network) === 6)];
}

/** One list per family: a common list would treat ::ffff:0:0/96 as all of IPv4. */
function networksOf(ipv4: Networks, ipv6: Networks): { hasIpv4(address: string): boolean; hasIpv6(address: string): boolean } {
  const [listOf4, listOf6] = [new BlockList(), new BlockList()];
  for (const [network, bits] of ipv4) listOf4.addSubnet(network, bits, "ipv4");
  for (const [network, bits] of ipv6) listOf6.addSubnet(network, bits, "ipv6");
  return { hasIpv4: (address) => listOf4.check(address, "ipv4"), hasIpv6: (address) => listOf6.check(address, "ipv6") };
}
