/** Dead letters: shows them, and replays them. */
import { useEffect, useState } from "preact/hooks";
import type { DeadLetterPage } from "../../client/api-types.generated.ts";
import { call, withQuery } from "../api.ts";
import { useGround } from "../ground.ts";
import { RefreshIcon } from "../parts/icons.tsx";
import { Empty, Failed, Loading } from "../parts/notice.tsx";
import { sinceStart } from "../parts/since.ts";
import { type Place, setQuery } from "../routing.ts";
import { mayReplay } from "../rows.ts";
import { useLoad } from "../use-load.ts";
import { DeadLetterDetail } from "./dead-letter-detail.tsx";
import { DeadLetterFilters } from "./dead-letter-filters.tsx";
import { DeadLetterTable } from "./dead-letter-table.tsx";
import { ReplayAll, type ReplayFilter, ReplaySelected } from "./replay.tsx";

const PAGE = 100;

export function DeadLettersPage({ place }: { place: Place }) {
  useEffect(() => {
    document.title = "Dead letters · Posthorn";
  }, []);
  return (
    <>
      <div class="head">
        <h1 tabIndex={-1}>Dead letters</h1>
        <p class="head-sub">Deliveries that were given up after the last attempt, or could not be attempted. Kept for 30 days.</p>
      </div>
      <DeadLetters app={null} place={place} />
    </>
  );
}

/** @param app null: all apps */
export function DeadLetters({ app, place }: { app: string | null; place: Place }) {
  const { can } = useGround();
  const { type = "", since = "", cursor = "", open } = place.query;
  const slug = app ?? place.query["app"] ?? "";
  const [selected, setSelected] = useState<ReadonlySet<number>>(new Set());
  const [replaying, setReplaying] = useState<"selected" | "all" | null>(null);
  const page = useLoad([slug, type, since, cursor].join(" "), (signal) =>
    call<DeadLetterPage>(withQuery("v1/dead-letters", { app: slug, event_type: type, start: sinceStart(since), cursor, limit: PAGE }), {
      signal,
    }),
  );
  const deadLetters = page.value?.items ?? [];
  const selectedRows = deadLetters.filter(({ sequence }) => selected.has(sequence));
  const replayable = deadLetters.filter(mayReplay);
  const opened = deadLetters.find(({ sequence }) => String(sequence) === open);
  const isFiltered = Boolean(type || since || (app === null && slug));
  const filter: ReplayFilter = { app: slug || null, event_type: type || null, start: sinceStart(since) };
  const done = (): void => {
    setSelected(new Set());
    page.reload();
  };

  return (
    <>
      <DeadLetterFilters {...{ app, slug, type, since }}>
        <button type="button" class="button" onClick={page.reload} disabled={page.isLoading}>
          <RefreshIcon /> Refresh
        </button>
        {can.replay && replayable.length > 0 && (
          <>
            {selectedRows.length > 0 && (
              <button type="button" class="button primary" onClick={() => setReplaying("selected")}>
                Replay {selectedRows.length} selected
              </button>
            )}
            <button type="button" class="button" onClick={() => setReplaying("all")}>
              {isFiltered ? "Replay all matching" : "Replay all"}
            </button>
          </>
        )}
      </DeadLetterFilters>
      {page.error !== null && <Failed what="The dead letters" error={page.error} retry={page.reload} />}
      {page.value === null && page.error === null && <Loading what="the dead letters" />}
      {page.value !== null && deadLetters.length === 0 && (
        <Empty title={isFiltered || cursor !== "" ? "No matching dead letters." : "There are no dead letters."}>
          {isFiltered || cursor !== "" ? (
            <button
              type="button"
              class="button"
              onClick={() => setQuery({ type: null, since: null, cursor: null, ...(app === null ? { app: null } : {}) })}
            >
              Show all
            </button>
          ) : (
            <p>Every delivery has succeeded so far, or is still in progress.</p>
          )}
        </Empty>
      )}
      {deadLetters.length > 0 && (
        <DeadLetterTable deadLetters={deadLetters} showsApp={app === null} selected={selected} onSelect={setSelected} />
      )}
      {(cursor !== "" || page.value?.next) && (
        <div class="pager">
          <button type="button" class="button" disabled={cursor === ""} onClick={() => setQuery({ cursor: null })}>
            Newest
          </button>
          <button type="button" class="button" disabled={!page.value?.next} onClick={() => setQuery({ cursor: page.value?.next ?? null })}>
            Older
          </button>
        </div>
      )}
      {opened !== undefined && (
        <DeadLetterDetail key={open} deadLetter={opened} onClose={() => setQuery({ open: null })} onReplayed={done} />
      )}
      {replaying === "selected" && <ReplaySelected deadLetters={selectedRows} onClose={() => setReplaying(null)} onDone={done} />}
      {replaying === "all" && <ReplayAll filter={filter} onClose={() => setReplaying(null)} onDone={done} />}
    </>
  );
}
