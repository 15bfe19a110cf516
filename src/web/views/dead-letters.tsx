/** Dead letters: shows them, replays them and deletes them. */
import { useEffect, useState } from "preact/hooks";
import type { DeadLetterPage } from "../../client/api-types.generated.ts";
import { call, withQuery } from "../api.ts";
import { Empty, Failed, Loading } from "../parts/notice.tsx";
import { Refresh } from "../parts/refresh.tsx";
import { ANY_TIME, chosenSpan, TimeFields, timeKey } from "../parts/time-filter.tsx";
import { type Place, setQuery } from "../routing.ts";
import { useLoad } from "../use-load.ts";
import { type Action, DeadLetterActions } from "./dead-letter-actions.tsx";
import { DeadLetterDetail } from "./dead-letter-detail.tsx";
import { DeadLetterFilters } from "./dead-letter-filters.tsx";
import { DeadLetterTable } from "./dead-letter-table.tsx";
import { type DeadLetterFilter, DeleteMatching, DeleteSelected } from "./delete-dead-letters.tsx";
import { ReplayAll, ReplaySelected } from "./replay.tsx";

const PAGE = 100;
const NO_DEAD_LETTERS: DeadLetterPage = { items: [], next: null };

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
  const { query } = place;
  const { type = "", since = "", cursor = "", open } = query;
  const slug = app ?? query["app"] ?? "";
  const { start, end, problem } = chosenSpan(query);
  const [selected, setSelected] = useState<ReadonlySet<number>>(new Set());
  const [action, setAction] = useState<Action | null>(null);
  const page = useLoad([slug, type, timeKey(query), cursor].join(" "), async (signal) =>
    problem !== null
      ? NO_DEAD_LETTERS
      : call<DeadLetterPage>(withQuery("v1/dead-letters", { app: slug, event_type: type, start, end, cursor, limit: PAGE }), { signal }),
  );
  const deadLetters = page.value?.items ?? [];
  const selectedRows = deadLetters.filter(({ sequence }) => selected.has(sequence));
  const opened = deadLetters.find(({ sequence }) => String(sequence) === open);
  const isFiltered = Boolean(type || since || (app === null && slug));
  const filter: DeadLetterFilter = { app: slug || null, event_type: type || null, start, end };
  const close = (): void => setAction(null);
  const done = (): void => {
    setSelected(new Set());
    page.reload();
  };

  return (
    <>
      <DeadLetterFilters {...{ app, slug, type, since }}>
        <Refresh of={page} />
        {deadLetters.length > 0 && problem === null && (
          <DeadLetterActions of={deadLetters} selected={selectedRows} isFiltered={isFiltered} onAction={setAction} />
        )}
      </DeadLetterFilters>
      <TimeFields query={query} />
      {page.error !== null && <Failed what="The dead letters" error={page.error} retry={page.reload} />}
      {page.value === null && page.error === null && <Loading what="the dead letters" />}
      {page.value !== null && deadLetters.length === 0 && problem === null && (
        <Empty title={isFiltered || cursor !== "" ? "No matching dead letters." : "There are no dead letters."}>
          {isFiltered || cursor !== "" ? (
            <button
              type="button"
              class="button"
              onClick={() => setQuery({ type: null, ...ANY_TIME, cursor: null, ...(app === null ? { app: null } : {}) })}
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
        <DeadLetterDetail
          key={open}
          deadLetter={opened}
          onClose={() => setQuery({ open: null })}
          onReplayed={done}
          onDelete={() => setAction({ kind: "delete", rows: [opened] })}
        />
      )}
      {action?.kind === "replay" && <ReplaySelected deadLetters={action.rows} onClose={close} onDone={done} />}
      {action?.kind === "replay all" && <ReplayAll filter={filter} onClose={close} onDone={done} />}
      {action?.kind === "delete" && (
        <DeleteSelected sequences={action.rows.map(({ sequence }) => sequence)} onClose={close} onDone={done} />
      )}
      {action?.kind === "delete all" && <DeleteMatching filter={filter} onClose={close} onDone={done} />}
    </>
  );
}
