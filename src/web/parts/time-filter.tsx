/** The filter of a list by time: how far back, or between two times. */
import type { Place } from "../routing.ts";
import { setQuery } from "../routing.ts";
import { spanOf, type TimeSpan } from "../time-span.ts";
import { SINCE_OPTIONS, sinceStart } from "./since.ts";
import { SpanFields } from "./span-fields.tsx";

/** Stands for a span that `from` and `to` give. */
const BETWEEN = "between";

/** Members of the address that the filter uses, without values. */
export const ANY_TIME = { since: null, from: null, to: null } as const;

/** The chosen span. Identify it by the address, not by this: the start of "last hour" differs with every call. */
export function chosenSpan({ since = "", from = "", to = "" }: Place["query"]): TimeSpan {
  return since === BETWEEN ? spanOf(from, to) : { start: sinceStart(since), end: null, problem: null };
}

export function timeKey({ since = "", from = "", to = "" }: Place["query"]): string {
  return `${since} ${from} ${to}`;
}

export function TimeFilter({ since }: { readonly since: string }) {
  return (
    <label class="control">
      <span class="hidden">Time</span>
      <select value={since} onChange={(event) => setQuery({ ...ANY_TIME, since: event.currentTarget.value || null, cursor: null })}>
        {SINCE_OPTIONS.map(({ value, text }) => (
          <option key={value} value={value}>
            {text}
          </option>
        ))}
        <option value={BETWEEN}>Between…</option>
      </select>
    </label>
  );
}

/** The fields of "Between…", below the other filters. */
export function TimeFields({ query }: { readonly query: Place["query"] }) {
  const { since, from = "", to = "" } = query;
  return since === BETWEEN ? <SpanFields from={from} to={to} problem={chosenSpan(query).problem} /> : null;
}
