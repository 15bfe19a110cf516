/** The address within the page: `#/apps/acme/requests?errors=1`. The fragment never leaves the browser. */
import { useLayoutEffect, useState } from "preact/hooks";

export interface Place {
  /** The path's parts, decoded: ["apps", "acme", "requests"]. */
  readonly parts: readonly string[];
  readonly query: Readonly<Record<string, string>>;
}

export function parsePlace(hash: string): Place {
  const [path = "", query = ""] = hash.replace(/^#/, "").split("?");
  return {
    parts: path.split("/").filter(Boolean).map(decode),
    query: Object.fromEntries(new URLSearchParams(query)),
  };
}

export function hrefOf(parts: readonly string[], query: Readonly<Record<string, string | null | undefined>> = {}): string {
  const given = Object.entries(query).filter(
    (entry): entry is [string, string] => entry[1] !== null && entry[1] !== undefined && entry[1] !== "",
  );
  return `#/${parts.map(encodeURIComponent).join("/")}${given.length === 0 ? "" : `?${new URLSearchParams(given)}`}`;
}

export function usePlace(): Place {
  const [place, setPlace] = useState(() => parsePlace(location.hash));
  useLayoutEffect(() => {
    const update = (): void => setPlace(parsePlace(location.hash));
    addEventListener("hashchange", update);
    return () => removeEventListener("hashchange", update);
  }, []);
  return place;
}

/** Changes query members without a new history entry; null removes a member. */
export function setQuery(change: Readonly<Record<string, string | null>>): void {
  const { parts, query } = parsePlace(location.hash);
  history.replaceState(null, "", hrefOf(parts, { ...query, ...change }));
  dispatchEvent(new HashChangeEvent("hashchange"));
}

function decode(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}
