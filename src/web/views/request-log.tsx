/** An app's request log: its last attempts, with filters and details. */
import { useEffect, useRef, useState } from "preact/hooks";
import type { AppStats, WebhookRequest, WebhookRequestPage } from "../../client/api-types.generated.ts";
import { call, withQuery } from "../api.ts";
import { Empty, Failed, Loading } from "../parts/notice.tsx";
import { sinceStart } from "../parts/since.ts";
import { SpanFields } from "../parts/span-fields.tsx";
import { type Place, setQuery } from "../routing.ts";
import { attemptId } from "../rows.ts";
import { spanOf, type TimeSpan } from "../time-span.ts";
import { useLoad } from "../use-load.ts";
import type { AppRow } from "../wire.ts";
import { RequestDetail } from "./request-detail.tsx";
import { BETWEEN, RequestFilters } from "./request-filters.tsx";
import { RequestTable } from "./request-table.tsx";

const PAGE = 100;
const ALL = { errors: null, type: null, organization: null, since: null, from: null, to: null };

export function RequestLog({ row, place }: { row: AppRow; place: Place }) {
  const { slug } = row;
  const { errors, type = "", organization = "", since = "", from = "", to = "", open } = place.query;
  const span: TimeSpan = since === BETWEEN ? spanOf(from, to) : { start: sinceStart(since), end: null, problem: null };
  const [limit, setLimit] = useState(PAGE);
  const key = [slug, errors, type, organization, since, from, to].join(" ");
  useEffect(() => setLimit(PAGE), [key]);
  const log = useLoad(`${key} ${limit}`, async (signal) => {
    if (span.problem !== null) return null;
    const query = {
      errors_only: errors ? "true" : null,
      event_type: type,
      organization_id: organization,
      start: span.start,
      end: span.end,
      // One more than shown, to know whether there are more.
      limit: limit + 1,
    };
    return call<WebhookRequestPage>(withQuery(`v1/apps/${slug}/webhook-requests`, query), { signal });
  });
  const types = useLoad(slug, (signal) => call<AppStats>(`v1/apps/${slug}/stats`, { signal }));
  const last = useRef<readonly WebhookRequest[]>([]);
  if (log.value !== null) last.current = log.value.items;
  const rows = (log.value?.items ?? (log.isLoading && span.problem === null ? last.current : [])).slice(0, limit);
  const isFiltered = Boolean(errors || type || organization || since);
  const opened = rows.find((candidate) => attemptId(candidate) === open);

  return (
    <>
      <RequestFilters {...{ row, log, type, organization, since }} isErrorsOnly={Boolean(errors)} types={types.value?.event_types ?? []} />
      {since === BETWEEN && <SpanFields from={from} to={to} problem={span.problem} />}
      {log.error !== null && <Failed what="The request log" error={log.error} retry={log.reload} />}
      {log.value === null && log.error === null && span.problem === null && rows.length === 0 && <Loading what="the request log" />}
      {log.value !== null && rows.length === 0 && (
        <Empty title={isFiltered ? "No matching attempts." : "No requests yet."}>
          {isFiltered ? (
            <button type="button" class="button" onClick={() => setQuery(ALL)}>
              Show all
            </button>
          ) : (
            <p>This app had no attempts in the last 30 days.</p>
          )}
        </Empty>
      )}
      {rows.length > 0 && <RequestTable rows={rows} isStale={log.isLoading && log.value === null} />}
      {log.value !== null && log.value.items.length > limit && (
        <div class="pager">
          <button type="button" class="button" onClick={() => setLimit(limit + 4 * PAGE)}>
            Show more
          </button>
        </div>
      )}
      {opened !== undefined && <RequestDetail key={open} row={opened} slug={slug} onClose={() => setQuery({ open: null })} />}
    </>
  );
}
