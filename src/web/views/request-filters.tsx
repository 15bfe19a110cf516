/** The filters above an app's request log. */
import { useEffect, useRef, useState } from "preact/hooks";
import { sum } from "../condition.ts";
import { RefreshIcon } from "../parts/icons.tsx";
import { Segments } from "../parts/segments.tsx";
import { SINCE_OPTIONS } from "../parts/since.ts";
import { setQuery } from "../routing.ts";
import type { Loaded } from "../use-load.ts";
import type { AppRow } from "../wire.ts";

/** Stands for a custom time span, given by `from` and `to`. */
export const BETWEEN = "between";

export interface RequestFiltersProps {
  readonly row: AppRow;
  readonly log: Pick<Loaded<unknown>, "isLoading" | "reload">;
  readonly isErrorsOnly: boolean;
  readonly type: string;
  /** The event types to choose from. */
  readonly types: readonly string[];
  readonly organization: string;
  readonly since: string;
}

export function RequestFilters({ row, log, isErrorsOnly, type, types, organization, since }: RequestFiltersProps) {
  return (
    <div class="toolbar">
      <Segments
        label="Which attempts"
        value={isErrorsOnly ? "errors" : "all"}
        options={[
          { value: "all", text: "Requests" },
          { value: "errors", text: "Errors" },
        ]}
        onChange={(value) => setQuery({ errors: value === "errors" ? "1" : null })}
      />
      <label class="control">
        <span class="hidden">Event type</span>
        <select value={type} onChange={(event) => setQuery({ type: event.currentTarget.value || null })}>
          <option value="">All event types</option>
          {[...new Set(type === "" ? types : [...types, type])].sort().map((one) => (
            <option key={one} value={one}>
              {one}
            </option>
          ))}
        </select>
      </label>
      <label class="control">
        <span class="hidden">Time</span>
        <select value={since} onChange={(event) => setQuery({ since: event.currentTarget.value || null, from: null, to: null })}>
          {SINCE_OPTIONS.map(({ value, text }) => (
            <option key={value} value={value}>
              {text}
            </option>
          ))}
          <option value={BETWEEN}>Between…</option>
        </select>
      </label>
      <label class="control">
        <span class="hidden">Organization</span>
        <input
          type="search"
          placeholder="Organization"
          defaultValue={organization}
          onChange={(event) => setQuery({ organization: event.currentTarget.value.trim() || null })}
        />
      </label>
      <Refresh row={row} log={log} />
    </div>
  );
}

/** Shows that there are new rows, and follows them on request. */
function Refresh({ row, log }: { row: AppRow; log: RequestFiltersProps["log"] }) {
  const [isFollowing, setFollowing] = useState(false);
  const attempts = row.attempts === null ? null : sum(row.attempts);
  const seen = useRef(attempts);
  const isNew = seen.current !== attempts;
  const reload = (): void => {
    seen.current = attempts;
    log.reload();
  };
  useEffect(() => {
    if (isFollowing && isNew) reload();
  }, [isFollowing, attempts]);
  return (
    <div class="toolbar-end">
      <label class="check">
        <input type="checkbox" checked={isFollowing} onChange={(event) => setFollowing(event.currentTarget.checked)} /> Follow
      </label>
      <button type="button" class="button" onClick={reload} disabled={log.isLoading}>
        <RefreshIcon /> Refresh
        {isNew && !isFollowing && (
          <span class="new-dot">
            <span class="hidden">, there are new attempts</span>
          </span>
        )}
      </button>
    </div>
  );
}
