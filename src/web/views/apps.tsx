/** All apps: who is well, who is not, and how busy they are. */
import type { ComponentChildren } from "preact";
import { useEffect, useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import { type Condition, conditionOf, dayOf, sum, total, wantsAttention } from "../condition.ts";
import { count, counted, percent, shortCount } from "../format.ts";
import { useGround } from "../ground.ts";
import { Code } from "../parts/code.tsx";
import { Figure, Figures } from "../parts/figures.tsx";
import { SearchIcon } from "../parts/icons.tsx";
import { Empty, Failed, Loading } from "../parts/notice.tsx";
import { Pill } from "../parts/pills.tsx";
import { Segments } from "../parts/segments.tsx";
import { RateSpark, VolumeSpark } from "../parts/sparks.tsx";
import { hrefOf, type Place, setQuery } from "../routing.ts";
import type { AppRow } from "../wire.ts";

interface Entry {
  readonly row: AppRow;
  readonly condition: Condition;
  readonly attempts: number | null;
  readonly rate: number | null;
  /** What the search looks through. */
  readonly text: string;
}

type SortKey = "attention" | "name" | "attempts" | "rate" | "installations" | "parked" | "dead";

/** More rows come as one scrolls to them: a thousand rows at once would be slow to draw and to go through. */
const ROWS_AT_ONCE = 60;

export function Apps({ place }: { place: Place }) {
  const { live } = useGround().feed;
  useEffect(() => {
    document.title = "Apps · Posthorn";
  }, []);
  return (
    <>
      <div class="head">
        <h1 tabIndex={-1}>Apps</h1>
      </div>
      {live.state === "loading" && <Loading what="the apps" />}
      {live.state === "failed" && <Failed what="The apps" error={live.error} />}
      {live.state === "ready" && (live.apps.size === 0 ? <NoApps /> : <AppTable apps={live.apps} place={place} />)}
    </>
  );
}

function NoApps() {
  return (
    <Empty title="There are no apps yet.">
      <p>Register one, and install it in an organization:</p>
      <Code label="Commands">
        {`curl -X PUT ${location.origin}/v1/apps/my-app -H 'content-type: application/json' \\
  -d '{"webhook_url":"https://hooks.example.com/in","events":["issue"]}'
curl -X PUT ${location.origin}/v1/installations/<uuid> -H 'content-type: application/json' \\
  -d '{"app":"my-app","organization_id":"42"}'`}
      </Code>
    </Empty>
  );
}

function AppTable({ apps, place }: { apps: ReadonlyMap<string, AppRow>; place: Place }) {
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
      <Figures label="All apps">
        <Figure label="Attempts, 24 h" value={volumes && shortCount(sum(volumes.attempts))} />
        <Figure label="Success rate" value={volumes && rateOf(volumes)} />
        <Figure label="Need attention" value={count(attention.length)} kind={attention.length > 0 ? "bad" : "plain"} />
        <Figure label="Parked" value={known(total(rows, ({ parked }) => parked))} />
        <Figure label="Dead letters" value={known(total(rows, (row) => row.dead_letters))} />
      </Figures>
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

/** An entry is recreated only when its row has changed, so that only such rows are drawn anew. */
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

function Rows({ entries }: { entries: readonly Entry[] }) {
  const [shown, setShown] = useState(ROWS_AT_ONCE);
  const end = useRef<HTMLTableRowElement>(null);
  useEffect(() => {
    if (end.current === null) return;
    const observer = new IntersectionObserver(
      ([entry]) => {
        if (entry?.isIntersecting) setShown((before) => before + ROWS_AT_ONCE);
      },
      { rootMargin: "600px" },
    );
    observer.observe(end.current);
    return () => observer.disconnect();
  }, [shown, entries.length]);
  return (
    <tbody>
      {entries.slice(0, shown).map((entry) => (
        <Row key={entry.row.slug} entry={entry} />
      ))}
      {shown < entries.length && (
        <tr ref={end}>
          <td colSpan={7}>
            <button type="button" class="button quiet" onClick={() => setShown(shown + ROWS_AT_ONCE)}>
              {counted(entries.length - shown, "more app")} …
            </button>
          </td>
        </tr>
      )}
    </tbody>
  );
}

function Row({ entry }: { entry: Entry }) {
  return useMemo(() => {
    const { row, condition, attempts, rate } = entry;
    const { active, broken, disabled } = row.installations;
    return (
      <tr class="linked">
        <th scope="row">
          <a class="row-link" href={hrefOf(["apps", row.slug])}>
            {row.name}
          </a>
          <span class="sub">{row.slug}</span>
          <span class="narrow-only">
            <Pill {...condition} />
          </span>
        </th>
        <td class="wide">
          <Pill {...condition} />
        </td>
        <td class="right">
          <Sparked spark={row.attempts && <VolumeSpark attempts={row.attempts} />}>{known(attempts)}</Sparked>
        </td>
        <td class="right">
          <Sparked spark={row.attempts && row.delivered && <RateSpark attempts={row.attempts} delivered={row.delivered} />}>
            {rate === null ? <Unknown isNothing={attempts === 0} /> : <span class={rate < 0.9 ? "bad" : ""}>{percent(rate)}</span>}
          </Sparked>
        </td>
        <td class="right wide figure">
          {count(active + broken + disabled)}
          {broken > 0 && <span class="sub bad">{count(broken)} broken</span>}
          {broken === 0 && disabled > 0 && <span class="sub">{count(disabled)} disabled</span>}
        </td>
        <td class="right wide figure">{zeroFaint(row.parked)}</td>
        <td class="right medium figure">{zeroFaint(row.dead_letters)}</td>
      </tr>
    );
  }, [entry]);
}

function Sparked({ spark, children }: { spark: ComponentChildren; children: ComponentChildren }) {
  return (
    <span class="sparked">
      {spark}
      <span class="figure">{children}</span>
    </span>
  );
}

function Unknown({ isNothing }: { isNothing: boolean }) {
  return (
    <span class="faint" title={isNothing ? "No attempts" : "Not known now"}>
      {isNothing ? "–" : "?"}
    </span>
  );
}

function known(value: number | null): ComponentChildren {
  return value === null ? <Unknown isNothing={false} /> : shortCount(value);
}

function zeroFaint(value: number | null): ComponentChildren {
  return value === 0 ? <span class="faint">0</span> : known(value);
}

function Search({ value }: { value: string }) {
  const input = useRef<HTMLInputElement>(null);
  // From the moment the box is there: what comes after the next paint would miss the keys of somebody fast.
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

function readSort(sort: string): [key: SortKey, isDescending: boolean] {
  return [sort.replace(/^-/, "") as SortKey, sort.startsWith("-")];
}

/** Figures begin with the highest, but the rate with the lowest. */
function nextSort(of: SortKey, sort: string): string {
  const first = of === "name" || of === "attention" || of === "rate" ? of : `-${of}`;
  return sort === first ? (first.startsWith("-") ? of : `-${of}`) : first;
}

/** What is not known comes last either way; what is equal goes by name. */
function order(key: SortKey, isDescending: boolean): (a: Entry, b: Entry) => number {
  const sortedBy = ({ row, condition, attempts, rate }: Entry): number | string | null => {
    const { active, broken, disabled } = row.installations;
    const values = {
      name: row.name.toLowerCase(),
      attention: condition.rank,
      attempts,
      rate,
      installations: active + broken + disabled,
      parked: row.parked,
      dead: row.dead_letters,
    };
    return values[key] ?? null;
  };
  return (a, b) => {
    const [x, y] = [sortedBy(a), sortedBy(b)];
    if (x !== y) {
      if (x === null) return 1;
      if (y === null) return -1;
      return (x < y ? -1 : 1) * (isDescending ? -1 : 1);
    }
    return a.row.name.toLowerCase() < b.row.name.toLowerCase() ? -1 : 1;
  };
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
