/** An app's request log: its last attempts, with filters and details. */
import { useRef } from "preact/hooks";
import type { AppStats, WebhookRequest, WebhookRequestPage } from "../../client/api-types.generated.ts";
import { call, withQuery } from "../api.ts";
import { Empty, Failed, Loading } from "../parts/notice.tsx";
import { Older } from "../parts/older.tsx";
import { chosenSpan, TimeFields, timeKey } from "../parts/time-filter.tsx";
import { When } from "../parts/when.tsx";
import { type Place, setQuery } from "../routing.ts";
import { attemptId } from "../rows.ts";
import { useLoad } from "../use-load.ts";
import { usePages } from "../use-pages.ts";
import type { AppRow } from "../wire.ts";
import { RequestDetail } from "./request-detail.tsx";
import { isFiltered, NO_FILTERS, RequestFilters } from "./request-filters.tsx";
import { RequestTable } from "./request-table.tsx";

const PAGE = 100;
const NO_REQUESTS: WebhookRequestPage = { items: [], next: null, reaches_back_to: null };

export function RequestLog({ row, place: { query } }: { row: AppRow; place: Place }) {
  const { slug } = row;
  const { start, end, problem } = chosenSpan(query);
  const filter = {
    errors_only: query["errors"] ? "true" : null,
    event_type: query["type"],
    organization_id: query["organization"],
    outcome: query["outcome"],
    response_code: query["code"],
    installation_uuid: query["installation"],
    event_id: query["event"],
  };
  const pages = usePages<WebhookRequest, WebhookRequestPage>(JSON.stringify([slug, filter, timeKey(query)]), async (cursor, signal) =>
    problem !== null
      ? NO_REQUESTS
      : call(withQuery(`v1/apps/${slug}/webhook-requests`, { ...filter, start, end, cursor, limit: PAGE }), signal ? { signal } : {}),
  );
  const { first, last, items } = pages;
  const types = useLoad(slug, (signal) => call<AppStats>(`v1/apps/${slug}/stats`, { signal }));
  const before = useRef<readonly WebhookRequest[]>([]);
  if (first.value !== null) before.current = items;
  // Until others have been loaded, the rows of the filter before stay.
  const isStale = first.value === null && first.isLoading && problem === null;
  const rows = isStale ? before.current : items;
  const opened = rows.find((candidate) => attemptId(candidate) === query["open"]);
  const log = { isLoading: first.isLoading, reload: first.reload };

  return (
    <>
      <RequestFilters {...{ row, log, query }} types={types.value?.event_types ?? []} />
      <TimeFields query={query} />
      {first.error !== null && <Failed what="The request log" error={first.error} retry={first.reload} />}
      {isStale && rows.length === 0 && <Loading what="the request log" />}
      {first.value !== null && problem === null && rows.length === 0 && (
        <Empty title={isFiltered(query) ? "No matching attempts." : "No requests yet."}>
          {isFiltered(query) ? (
            <button type="button" class="button" onClick={() => setQuery(NO_FILTERS)}>
              Show all
            </button>
          ) : (
            <p>This app had no attempts in the last 30 days.</p>
          )}
        </Empty>
      )}
      {rows.length > 0 && <RequestTable rows={rows} isStale={isStale} />}
      <Older of={pages} />
      {last?.reaches_back_to != null && last.next === null && (
        <p class="muted">
          Attempts before <When at={last.reaches_back_to} /> may be missing: the log keeps the last ones of each event type.
        </p>
      )}
      {opened !== undefined && <RequestDetail key={query["open"]} row={opened} slug={slug} onClose={() => setQuery({ open: null })} />}
    </>
  );
}
