/** The `search` list and `ndots` of resolv.conf, which node:dns's resolver doesn't apply: cluster-internal names need them. */
import { createWatchedFile } from "./watched-file.ts";

export interface SearchList {
  /** The names to look up, in order. */
  candidates(name: string): readonly string[];
  /** Changes when the file has changed. */
  version(): string;
}

interface Search {
  readonly domains: readonly string[];
  readonly ndots: number;
}

const NONE: SearchList = { candidates: (name) => [withoutDot(name)], version: () => "" };
const MAX_NDOTS = 15;

/** @param path path of resolv.conf; null: names are looked up as written */
export function createSearchList(path: string | null): SearchList {
  if (path === null) return NONE;
  const file = createWatchedFile(path, parse);
  return {
    candidates(name) {
      const { domains, ndots } = file.value();
      if (name.endsWith(".")) return [withoutDot(name)];
      const within = domains.map((domain) => `${name}.${domain}`);
      return name.split(".").length - 1 >= ndots ? [name, ...within] : [...within, name];
    },
    version: file.version,
  };
}

/** resolv.conf(5). */
function parse(text: string): Search {
  let domains: string[] = [];
  let ndots = 1;
  for (const line of text.split("\n")) {
    const [keyword, ...values] = line
      .replace(/[#;].*/, "")
      .trim()
      .split(/\s+/);
    // The last line of several wins.
    if (keyword === "search" || keyword === "domain") domains = values.map(withoutDot).filter((domain) => domain !== "");
    for (const option of keyword === "options" ? values : []) {
      const wanted = /^ndots:(\d+)$/.exec(option)?.[1];
      if (wanted !== undefined) ndots = Math.min(MAX_NDOTS, Number(wanted));
    }
  }
  return { domains, ndots };
}

function withoutDot(name: string): string {
  return name.replace(/\.$/, "");
}
