/**
 * Decides which addresses webhooks may go to. Closed by default: only global unicast passes, unless
 * POSTHORN_TARGET_ALLOW opens a network. The sender asks at connect time, for every resolved address and again for the
 * socket's actual peer, so that a name that resolves differently the second time gains nothing.
 */
import { BlockList, isIP } from "node:net";

export interface AddressGuard {
  /** Why the address is refused, or null when it is allowed. */
  refuses(address: string): string | null;
  /** Why the URL can't be a webhook's, as far as can be told without a look-up; null when it can. */
  refusesUrl(url: string): string | null;
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

/** Inside 2000::/3, the only global unicast block: documentation, benchmarking, and what embeds IPv4 addresses. */
const REFUSED_IPV6: ReadonlyArray<readonly [network: string, bits: number]> = [
  ["2001::", 23],
  ["2001:db8::", 32],
  ["2002::", 16],
  ["3fff::", 20],
];

/** @param allow CIDRs that are open although they are not public. */
export function createAddressGuard(allow: readonly string[]): AddressGuard {
  const refusedIpv4 = new BlockList();
  for (const [network, bits] of REFUSED_IPV4) refusedIpv4.addSubnet(network, bits, "ipv4");
  const globalIpv6 = new BlockList();
  globalIpv6.addSubnet("2000::", 3, "ipv6");
  const refusedIpv6 = new BlockList();
  for (const [network, bits] of REFUSED_IPV6) refusedIpv6.addSubnet(network, bits, "ipv6");
  const allowed = new BlockList();
  for (const cidr of allow) {
    const [network = "", bits] = cidr.split("/");
    allowed.addSubnet(network, Number(bits), isIP(network) === 4 ? "ipv4" : "ipv6");
  }

  const refuses = (address: string): string | null => {
    const family = isIP(address);
    if (family === 0) return `${address} is not an IP address`;
    if (family === 4) {
      if (!refusedIpv4.check(address, "ipv4") || allowed.check(address, "ipv4")) return null;
    } else {
      const isPublic = globalIpv6.check(address, "ipv6") && !refusedIpv6.check(address, "ipv6");
      if (isPublic || allowed.check(address, "ipv6")) return null;
    }
    return `${address} is not a public address (POSTHORN_TARGET_ALLOW opens networks)`;
  };

  return {
    refuses,
    refusesUrl(text) {
      if (!URL.canParse(text)) return "not a URL";
      const url = new URL(text);
      if (url.protocol !== "http:" && url.protocol !== "https:") return `scheme ${url.protocol} is not http: or https:`;
      if (url.username !== "" || url.password !== "") return "user name and password are not allowed in it";
      const host = url.hostname.replace(/^\[(.*)\]$/, "$1");
      return isIP(host) === 0 ? null : refuses(host);
    },
  };
}
