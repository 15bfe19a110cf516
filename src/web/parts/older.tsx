/** The end of a list of pages: the button for the next one, and why that could not be loaded. */
import type { Pages } from "../use-pages.ts";
import { Failed } from "./notice.tsx";

export function Older({
  of: { last, more },
}: {
  of: Pick<Pages<unknown, { items: readonly unknown[]; next: string | null }>, "last" | "more">;
}) {
  return (
    <>
      {more.error !== null && <Failed what="Older entries" error={more.error} retry={more.run} />}
      {last?.next != null && (
        <div class="pager">
          <button type="button" class="button" disabled={more.isRunning} onClick={more.run}>
            Show older
          </button>
        </div>
      )}
    </>
  );
}
