/** The system's hosts file, which node:dns's resolver doesn't read. */
import { isIP } from "node:net";
import { createWatchedFile } from "./watched-file.ts";

export interface HostsFile {
  /** @param name in lower case, without a dot at its end */
  addressesOf(name: string): readonly string[];
}

export function createHostsFile(path: string): HostsFile {
  const file = createWatchedFile(path, parseHosts);
  return { addressesOf: (name) => file.value().get(name) ?? [] };
}

function parseHosts(text: string): ReadonlyMap<string, readonly string[]> {
  const byName = new Map<string, string[]>();
  for (const line of text.split("\n")) {
    const [address = "", ...names] = line.replace(/#.*/, "").trim().split(/\s+/);
    // An address with a zone belongs to a link of this machine: no webhook goes there.
    if (isIP(address) === 0 || address.includes("%")) continue;
    for (const name of names.map((written) => written.toLowerCase())) {
      const addresses = byName.get(name);
      if (addresses === undefined) byName.set(name, [address]);
      else if (!addresses.includes(address)) addresses.push(address);
    }
  }
  return byName;
}
