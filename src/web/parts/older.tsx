/** The end of a list of pages: the button for the next one, and why that could not be loaded. */
import type { Pages } from "../use-pages.ts";
import { Failed } from "./notice.tsx";

type List = Pages<unknown, { items: readonly unknown[]; next: string | null }>;

/** Disabled while `first` is loaded again: that drops every older page. */
export function Older({ of: { first, last, more } }: { of: Pick<List, "last" | "more"> & Partial<Pick<List, "first">> }) {
  return (
    <>
      {more.error !== null && <Failed what="Older entries" error={more.error} retry={more.run} />}
      {last?.next != null && (
        <div class="pager">
          <button type="button" class="button" disabled={more.isRunning || first?.isLoading} onClick={more.run}>
            Show older
          </button>
        </div>
      )}
    </>
  );
}
