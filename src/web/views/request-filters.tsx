/** The filters above an app's request log. */
import { useEffect, useRef, useState } from "preact/hooks";
import { sum } from "../../client/app-condition.ts";
import { OUTCOME_OPTIONS } from "../outcomes.ts";
import { FilterField, FilterSelect, MoreFilters } from "../parts/filters.tsx";
import { Refresh } from "../parts/refresh.tsx";
import { Segments } from "../parts/segments.tsx";
import { ANY_TIME, TimeFilter } from "../parts/time-filter.tsx";
import { type Place, setQuery } from "../routing.ts";
import type { Loaded } from "../use-load.ts";
import type { AppRow } from "../wire.ts";

export interface RequestFiltersProps {
  readonly row: AppRow;
  readonly log: Pick<Loaded<unknown>, "isLoading" | "reload">;
  /** The event types to choose from. */
  readonly types: readonly string[];
  readonly query: Place["query"];
}

/** Members of the address that the filters use, without values. */
export const NO_FILTERS = {
  ...{ errors: null, type: null, organization: null, outcome: null, code: null, installation: null, event: null },
  ...ANY_TIME,
};

export function isFiltered(query: Place["query"]): boolean {
  return Object.keys(NO_FILTERS).some((name) => query[name]);
}

export function RequestFilters({ row, log, types, query }: RequestFiltersProps) {
  const { errors, type = "", organization = "", outcome = "", code = "", installation = "", event = "", since = "" } = query;
  const typeOptions = [...new Set(type === "" ? types : [...types, type])].sort().map((value) => ({ value, text: value }));
  return (
    <div class="toolbar">
      <Segments
        label="Which attempts"
        value={errors ? "errors" : "all"}
        options={[
          { value: "all", text: "Requests" },
          { value: "errors", text: "Errors" },
        ]}
        onChange={(value) => setQuery({ errors: value === "errors" ? "1" : null })}
      />
      <FilterSelect name="type" label="Event type" value={type} options={[{ value: "", text: "All event types" }, ...typeOptions]} />
      <TimeFilter since={since} />
      <FilterField name="organization" label="Organization" value={organization} />
      <MoreFilters isInUse={Boolean(outcome || code || installation || event)}>
        <FilterSelect name="outcome" label="Outcome" value={outcome} options={OUTCOME_OPTIONS} />
        <FilterField name="code" label="Response code" value={code} />
        <FilterField name="installation" label="Installation" value={installation} />
        <FilterField name="event" label="Event id" value={event} />
      </MoreFilters>
      <RefreshNew row={row} log={log} />
    </div>
  );
}

/** Shows that there are new rows, and follows them on request. */
function RefreshNew({ row, log }: { row: AppRow; log: RequestFiltersProps["log"] }) {
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
      <Refresh of={{ isLoading: log.isLoading, reload }}>
        {isNew && !isFollowing && (
          <span class="new-dot">
            <span class="hidden">, there are new attempts</span>
          </span>
        )}
      </Refresh>
    </div>
  );
}
