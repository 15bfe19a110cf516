/** A list that is loaded page by page, newest first. */
import { useState } from "preact/hooks";
import { useAction } from "./parts/dialog.tsx";
import { type Loaded, useLoad } from "./use-load.ts";

interface Page<T> {
  readonly items: readonly T[];
  readonly next: string | null;
}

export interface Pages<T, P extends Page<T>> {
  readonly first: Loaded<P>;
  /** The last page that was loaded; null: none. */
  readonly last: P | null;
  readonly items: readonly T[];
  /** Loads the following page. */
  readonly more: ReturnType<typeof useAction>;
  /** Begins again with the newest. */
  readonly reload: () => void;
}

/** @param key identifies the list: another key drops its pages */
export function usePages<T, P extends Page<T>>(
  key: string,
  load: (cursor: string | null, signal?: AbortSignal) => Promise<P>,
): Pages<T, P> {
  const [older, setOlder] = useState<{ key: string; pages: readonly P[] }>({ key, pages: [] });
  const first = useLoad(key, (signal) => load(null, signal));
  const pages = older.key === key ? older.pages : [];
  const last = pages.at(-1) ?? first.value;
  const more = useAction(async () => {
    const page = await load(last?.next ?? null);
    setOlder({ key, pages: [...pages, page] });
  });
  return {
    first,
    last,
    items: [first.value, ...pages].flatMap((page) => page?.items ?? []),
    more,
    reload() {
      setOlder({ key, pages: [] });
      first.reload();
    },
  };
}
