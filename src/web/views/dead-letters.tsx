/** Dead letters: shows them, and replays them. */
import { useEffect, useState } from "preact/hooks";
import type { DeadLetterPage } from "../../client/api-types.generated.ts";
import { call, withQuery } from "../api.ts";
import { useGround } from "../ground.ts";
import { RefreshIcon } from "../parts/icons.tsx";
import { Empty, Failed, Loading } from "../parts/notice.tsx";
import { ReasonPill } from "../parts/pills.tsx";
import { SINCE_OPTIONS, sinceStart } from "../parts/since.ts";
import { When } from "../parts/when.tsx";
import { hrefOf, type Place, setQuery } from "../routing.ts";
import { deadLetterType, mayReplay } from "../rows.ts";
import { useLoad } from "../use-load.ts";
import { DeadLetterDetail } from "./dead-letter-detail.tsx";
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
  const { can, feed } = useGround();
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
  const toggle = (sequence: number, isOn: boolean): void => {
    const next = new Set(selected);
    if (isOn) next.add(sequence);
    else next.delete(sequence);
    setSelected(next);
  };
  const done = (): void => {
    setSelected(new Set());
    page.reload();
  };
  const apps = feed.live.state === "ready" ? [...feed.live.apps.keys()] : [];

  return (
    <>
      <div class="toolbar">
        {app === null && (
          <label class="control">
            <span class="hidden">App</span>
            <input
              type="search"
              list="apps"
              placeholder="All apps"
              defaultValue={slug}
              onChange={(event) => setQuery({ app: event.currentTarget.value.trim() || null, cursor: null })}
            />
            <datalist id="apps">
              {apps.map((one) => (
                <option key={one} value={one} />
              ))}
            </datalist>
          </label>
        )}
        <label class="control">
          <span class="hidden">Event type</span>
          <input
            type="search"
            placeholder="All event types"
            defaultValue={type}
            onChange={(event) => setQuery({ type: event.currentTarget.value.trim() || null, cursor: null })}
          />
        </label>
        <label class="control">
          <span class="hidden">Time</span>
          <select value={since} onChange={(event) => setQuery({ since: event.currentTarget.value || null, cursor: null })}>
            {SINCE_OPTIONS.map(({ value, text }) => (
              <option key={value} value={value}>
                {text}
              </option>
            ))}
          </select>
        </label>
        <div class="toolbar-end">
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
        </div>
      </div>
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
        <div class="card table-frame">
          <table class="dead">
            <thead>
              <tr>
                {can.replay && (
                  <th scope="col" class="tick">
                    <input
                      type="checkbox"
                      aria-label="Select all shown"
                      checked={selectedRows.length > 0 && selectedRows.length === replayable.length}
                      onChange={(event) =>
                        setSelected(new Set(event.currentTarget.checked ? replayable.map(({ sequence }) => sequence) : []))
                      }
                    />
                  </th>
                )}
                <th scope="col">Given up</th>
                {app === null && (
                  <th scope="col" class="medium">
                    App
                  </th>
                )}
                <th scope="col">Event</th>
                <th scope="col">Reason</th>
                <th scope="col" class="right medium">
                  Attempts
                </th>
                <th scope="col" class="wide">
                  Organization
                </th>
              </tr>
            </thead>
            <tbody>
              {deadLetters.map((deadLetter) => (
                <tr key={deadLetter.sequence} class="linked">
                  {can.replay && (
                    <td class="tick">
                      {mayReplay(deadLetter) && (
                        <input
                          type="checkbox"
                          aria-label={`Select ${deadLetterType(deadLetter)} ${deadLetter.sequence}`}
                          checked={selected.has(deadLetter.sequence)}
                          onChange={(event) => toggle(deadLetter.sequence, event.currentTarget.checked)}
                        />
                      )}
                    </td>
                  )}
                  <td class="nowrap numeric">
                    <When at={deadLetter.dead_lettered_at} />
                  </td>
                  {app === null && (
                    <td class="medium">
                      {deadLetter.app == null ? (
                        <span class="faint">none</span>
                      ) : (
                        <a href={hrefOf(["apps", deadLetter.app])}>{deadLetter.app}</a>
                      )}
                    </td>
                  )}
                  <th scope="row">
                    <button type="button" class="row-link" onClick={() => setQuery({ open: String(deadLetter.sequence) })}>
                      {deadLetterType(deadLetter)}
                    </button>
                    {app === null && deadLetter.app != null && <span class="sub tiny-only">{deadLetter.app}</span>}
                    {deadLetter.error !== null && <span class="sub ellipsis">{deadLetter.error}</span>}
                  </th>
                  <td>
                    <ReasonPill reason={deadLetter.reason} />
                  </td>
                  <td class="right medium numeric">{deadLetter.attempts_made ?? 0}</td>
                  <td class="wide">{deadLetter.event?.organization_id}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
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
