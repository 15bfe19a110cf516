/** All apps: their condition and their traffic. */
import { useEffect, useLayoutEffect, useMemo, useRef } from "preact/hooks";
import { conditionOf, dayOf, deadLettersOf, sum, total, wantsAttention } from "../../client/app-condition.ts";
import { token } from "../api.ts";
import { firstCommands } from "../first-commands.ts";
import { count, counted, percent, shortCount } from "../format.ts";
import { useGround } from "../ground.ts";
import type { Live } from "../live.ts";
import { Code } from "../parts/code.tsx";
import { SearchIcon } from "../parts/icons.tsx";
import { Metric, Metrics } from "../parts/metrics.tsx";
import { Empty, Failed, Loading } from "../parts/notice.tsx";
import { Segments } from "../parts/segments.tsx";
import { type Place, setQuery } from "../routing.ts";
import type { AppRow } from "../wire.ts";
import { type Entry, known, Rows } from "./app-rows.tsx";
import { nextSort, order, readSort, type SortKey } from "./apps-order.ts";

export function Apps({ place }: { place: Place }) {
  const { feed, can } = useGround();
  const { live } = feed;
  useEffect(() => {
    document.title = "Apps · Posthorn";
  }, []);
  return (
    <>
      <div class="head">
        <div class="head-line">
          <h1 tabIndex={-1}>Apps</h1>
          {can.change && (
            <a class="button end" href="#/new-app">
              New app
            </a>
          )}
        </div>
      </div>
      {live.state === "loading" && <Loading what="the apps" />}
      {live.state === "failed" && <Failed what="The apps" error={live.error} />}
      {live.state === "ready" && (live.apps.size === 0 ? <NoApps /> : <AppTable live={live} place={place} />)}
    </>
  );
}

function NoApps() {
  const { can } = useGround();
  if (!can.change) return <Empty title="There are no apps yet." />;
  return (
    <Empty title="There are no apps yet.">
      <a class="button primary" href="#/new-app">
        Create an app
      </a>
      <p>Or at the command line, with an installation:</p>
      <Code label="Commands">{firstCommands(new URL(".", document.baseURI).href, token.get())}</Code>
    </Empty>
  );
}

function AppTable({ live: { apps, unreadable }, place }: { live: Live; place: Place }) {
  const entries = useEntries(apps);
  const { q: search = "", show = "all", sort = "attention" } = place.query;
  const [key, isDescending] = readSort(sort);
  const attention = entries.filter(({ condition }) => wantsAttention(condition));
  const found = useMemo(() => {
    const words = search.toLowerCase().split(/\s+/).filter(Boolean);
    return (show === "attention" ? attention : entries)
      .filter(({ text }) => words.every((word) => text.includes(word)))
      .sort(order(key, isDescending));
  }, [entries, search, show, sort]);

  const rows = [...apps.values()];
  const volumes = rows.every(({ attempts }) => attempts !== null) ? hourly(rows) : null;
  return (
    <>
      <Metrics label="All apps">
        <Metric label="Attempts, 24 h" value={volumes && shortCount(sum(volumes.attempts))} />
        <Metric label="Success rate" value={volumes && rateOf(volumes)} />
        <Metric label="Need attention" value={count(attention.length)} kind={worstOf(attention)} />
        <Metric label="Parked" value={known(total(rows, ({ parked }) => parked))} />
        <Metric label="Dead letters" value={known(deadLettersOf({ items: rows, unreadable }))} />
      </Metrics>
      <div class="toolbar">
        <Search value={search} />
        <Segments
          label="Which apps"
          value={show}
          options={[
            { value: "all", text: `All ${count(entries.length)}` },
            { value: "attention", text: `Need attention ${count(attention.length)}` },
          ]}
          onChange={(value) => setQuery({ show: value === "all" ? null : value })}
        />
        <p class="muted toolbar-end" role="status">
          {found.length === entries.length ? "" : `${counted(found.length, "app")} found`}
        </p>
      </div>
      {found.length === 0 ? (
        <Empty title={search === "" ? "No app needs attention." : `No app matches “${search}”.`}>
          <button type="button" class="button" onClick={() => setQuery({ q: null, show: null })}>
            Show all apps
          </button>
        </Empty>
      ) : (
        <div class="card table-frame">
          <table class="apps">
            <thead>
              <tr>
                <Heading of="name" text="App" sort={sort} />
                <Heading of="attention" text="Status" sort={sort} class="wide" />
                <Heading of="attempts" text="Attempts, 24 h" sort={sort} class="right" />
                <Heading of="rate" text="Success" sort={sort} class="right" />
                <Heading of="installations" text="Installations" sort={sort} class="right wide" />
                <Heading of="parked" text="Parked" sort={sort} class="right wide" />
                <Heading of="dead" text="Dead letters" sort={sort} class="right medium" />
              </tr>
            </thead>
            <Rows key={`${search} ${show} ${sort}`} entries={found} />
          </table>
        </div>
      )}
    </>
  );
}

function worstOf(entries: readonly Entry[]): "bad" | "warn" | "plain" {
  if (entries.some(({ condition }) => condition.kind === "bad")) return "bad";
  return entries.length > 0 ? "warn" : "plain";
}

/** An entry keeps its identity until its row changes, so that only changed rows are rendered again. */
function useEntries(apps: ReadonlyMap<string, AppRow>): Entry[] {
  const made = useRef(new Map<AppRow, Entry>());
  return useMemo(() => {
    const entries = [...apps.values()].map((row) => made.current.get(row) ?? entryOf(row));
    made.current = new Map(entries.map((entry) => [entry.row, entry]));
    return entries;
  }, [apps]);
}

function entryOf(row: AppRow): Entry {
  return { row, condition: conditionOf(row), ...dayOf(row), text: `${row.name} ${row.slug} ${row.webhook_url}`.toLowerCase() };
}

function Search({ value }: { value: string }) {
  const input = useRef<HTMLInputElement>(null);
  // A layout effect, because an effect after the next paint would miss early key presses.
  useLayoutEffect(() => {
    const focus = (event: KeyboardEvent): void => {
      const isTyping = event.target instanceof Element && event.target.closest("input, textarea, select, dialog") !== null;
      if (event.key !== "/" || isTyping || event.ctrlKey || event.metaKey) return;
      event.preventDefault();
      input.current?.focus();
    };
    addEventListener("keydown", focus);
    return () => removeEventListener("keydown", focus);
  }, []);
  return (
    <label class="search">
      <SearchIcon />
      <span class="hidden">Search apps</span>
      <input
        ref={input}
        type="search"
        placeholder="Name, slug or URL"
        value={value}
        aria-keyshortcuts="/"
        onInput={(event) => setQuery({ q: event.currentTarget.value || null })}
      />
      <kbd>/</kbd>
    </label>
  );
}

function Heading({ of, text, sort, class: className = "" }: { of: SortKey; text: string; sort: string; class?: string }) {
  const [key, isDescending] = readSort(sort);
  const isSorted = key === of;
  return (
    <th scope="col" class={className} aria-sort={isSorted ? (isDescending ? "descending" : "ascending") : undefined}>
      <button type="button" class="sort" onClick={() => setQuery({ sort: nextSort(of, sort) })}>
        {text}
        <span class="sort-mark" aria-hidden="true">
          {isSorted ? (isDescending ? "↓" : "↑") : ""}
        </span>
      </button>
    </th>
  );
}

function hourly(rows: readonly AppRow[]): { attempts: number[]; delivered: number[] } {
  const hours = (of: (row: AppRow) => readonly number[] | null): number[] =>
    Array.from({ length: 24 }, (_, hour) => sum(rows.map((row) => of(row)?.[hour] ?? 0)));
  return { attempts: hours((row) => row.attempts), delivered: hours((row) => row.delivered) };
}

function rateOf({ attempts, delivered }: { attempts: number[]; delivered: number[] }): string {
  const all = sum(attempts);
  return all === 0 ? "–" : percent(sum(delivered) / all);
}
