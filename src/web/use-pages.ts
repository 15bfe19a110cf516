/** A list that is loaded page by page, newest first. */
import { useRef, useState } from "preact/hooks";
import { useAction } from "./parts/dialog.tsx";
import { type Loaded, useLoad } from "./use-load.ts";

interface Page<T> {
  readonly items: readonly T[];
  readonly next: string | null;
}

export interface Pages<T, P extends Page<T>> {
  /** Loaded again, it drops the pages after it, which follow only the page that it was. */
  readonly first: Loaded<P>;
  /** The last page that was loaded; null: none. */
  readonly last: P | null;
  readonly items: readonly T[];
  /** Loads the following page. */
  readonly more: ReturnType<typeof useAction>;
}

/** @param key identifies the list: another key drops its pages */
export function usePages<T, P extends Page<T>>(
  key: string,
  load: (cursor: string | null, signal?: AbortSignal) => Promise<P>,
): Pages<T, P> {
  const [older, setOlder] = useState<{ first: P | null; pages: readonly P[] }>({ first: null, pages: [] });
  const first = useLoad(key, (signal) => load(null, signal));
  const pages = older.first === first.value ? older.pages : [];
  const last = pages.at(-1) ?? first.value;
  const loaded = useRef({ key, first: first.value, pages, last });
  loaded.current = { key, first: first.value, pages, last };
  const more = useAction(async () => {
    for (let from = loaded.current; from.key === key && from.last !== null && from.last.next !== null; from = loaded.current) {
      const page = await load(from.last.next);
      // Otherwise the first page was loaded again meanwhile, and another page follows.
      if (from.first === loaded.current.first) return setOlder({ first: from.first, pages: [...from.pages, page] });
    }
  });
  return { first, last, items: [first.value, ...pages].flatMap((page) => page?.items ?? []), more };
}
