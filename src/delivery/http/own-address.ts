/** The address that this process listens on, for the address guard. */
import { isIP } from "node:net";
import { networkInterfaces } from "node:os";

export interface OwnAddress {
  /** @param host an address of this machine, an unspecified one for all of them, or a name */
  listensAt(host: string, port: number): void;
  is(address: string, port: number): boolean;
}

const UNSPECIFIED: ReadonlySet<string> = new Set(["0.0.0.0", "::"]);

export function createOwnAddress(): OwnAddress {
  let own: { readonly host: string; readonly port: number } | null = null;
  return {
    listensAt(host, port) {
      own = { host, port };
    },
    is(address, port) {
      if (own === null || port !== own.port) return false;
      // The system treats an unspecified address as loopback.
      if (address === own.host || UNSPECIFIED.has(address)) return true;
      // The host is a name, or stands for all addresses of this machine.
      return (isIP(own.host) === 0 || UNSPECIFIED.has(own.host)) && isOfThisMachine(address);
    },
  };
}

function isOfThisMachine(address: string): boolean {
  if (address.startsWith("127.") || address === "::1") return true;
  const [bare = ""] = address.split("%");
  return Object.values(networkInterfaces()).some((addresses = []) => addresses.some((own) => own.address === bare));
}
