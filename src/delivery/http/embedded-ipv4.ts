/**
 * IPv4 addresses that are embedded in IPv6 addresses. A translator or tunnel turns such an address into a connection to the IPv4
 * address, so both must be allowed.
 */

export interface Embedded {
  readonly form: "v4-mapped" | "v4-compatible" | "NAT64" | "6to4" | "Teredo";
  /** Teredo has two: the server's and the client's. */
  readonly addresses: readonly string[];
}

/** @param address IPv6 as text, without a zone. @returns null when it has no embedded IPv4 address */
export function embeddedIpv4(address: string): Embedded | null {
  const groups = groupsOf(address);
  const at = (group: number, mask = 0): string => {
    const high = (groups[group] ?? 0) ^ mask;
    const low = (groups[group + 1] ?? 0) ^ mask;
    return `${high >> 8}.${high & 0xff}.${low >> 8}.${low & 0xff}`;
  };
  const startsWith = (...wanted: number[]): boolean => wanted.every((group, index) => groups[index] === group);

  if (startsWith(0, 0, 0, 0, 0, 0xffff)) return { form: "v4-mapped", addresses: [at(6)] };
  // `::` and `::1` are not v4-compatible addresses.
  if (startsWith(0, 0, 0, 0, 0, 0) && !(groups[6] === 0 && (groups[7] ?? 0) < 2)) return { form: "v4-compatible", addresses: [at(6)] };
  // RFC 6052 and the local-use prefix of RFC 8215, in its /96 layout.
  if (startsWith(0x64, 0xff9b, 0, 0, 0, 0) || startsWith(0x64, 0xff9b, 1)) return { form: "NAT64", addresses: [at(6)] };
  if (startsWith(0x2002)) return { form: "6to4", addresses: [at(1)] };
  // RFC 4380: the client's address is stored inverted.
  if (startsWith(0x2001, 0)) return { form: "Teredo", addresses: [at(2), at(6, 0xffff)] };
  return null;
}

/** The IPv4 address that the system uses for a v4-mapped address; null for any other address. */
export function ipv4Of(address: string): string | null {
  if (!address.includes(":")) return null;
  const embedded = embeddedIpv4(address);
  return embedded?.form === "v4-mapped" ? (embedded.addresses[0] ?? null) : null;
}

/** The eight groups of an IPv6 address. */
function groupsOf(address: string): number[] {
  const hexadecimal = address.replace(/(\d+)\.(\d+)\.(\d+)\.(\d+)$/, (_, ...bytes: string[]) => {
    const [a = 0, b = 0, c = 0, d = 0] = bytes.slice(0, 4).map(Number);
    return `${((a << 8) | b).toString(16)}:${((c << 8) | d).toString(16)}`;
  });
  const [head = "", tail] = hexadecimal.split("::");
  const numbers = (text: string): number[] => (text === "" ? [] : text.split(":").map((group) => Number.parseInt(group, 16)));
  const left = numbers(head);
  if (tail === undefined) return left;
  const right = numbers(tail);
  return [...left, ...new Array<number>(8 - left.length - right.length).fill(0), ...right];
}
