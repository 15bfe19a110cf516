/** Host names of a setting: `hooks.example` matches itself, `*.example` every name below example. */

export interface HostPatterns {
  has(host: string): boolean;
}

/** @param list in lower case; other entries, such as CIDRs, match no name */
export function createHostPatterns(list: readonly string[]): HostPatterns {
  const names = new Set(list.filter((entry) => !entry.startsWith("*.")));
  const suffixes = list.filter((entry) => entry.startsWith("*.")).map((entry) => entry.slice(1));
  return {
    has(host) {
      const name = host.toLowerCase().replace(/\.$/, "");
      return names.has(name) || suffixes.some((suffix) => name.length > suffix.length && name.endsWith(suffix));
    },
  };
}
