/** An app's request log: its last attempts, with filters and details. */
import { useEffect, useRef, useState } from "preact/hooks";
import type { AppStats, WebhookRequest, WebhookRequestPage } from "../../client/api-types.generated.ts";
import { call, withQuery } from "../api.ts";
import { sum } from "../condition.ts";
import { duration } from "../format.ts";
import { RefreshIcon } from "../parts/icons.tsx";
import { Empty, Failed, Loading } from "../parts/notice.tsx";
import { OutcomePill } from "../parts/pills.tsx";
import { Segments } from "../parts/segments.tsx";
import { SINCE_OPTIONS, sinceStart } from "../parts/since.ts";
import { SpanFields } from "../parts/span-fields.tsx";
import { When } from "../parts/when.tsx";
import { type Place, setQuery } from "../routing.ts";
import { attemptId } from "../rows.ts";
import { spanOf, type TimeSpan } from "../time-span.ts";
import { useLoad } from "../use-load.ts";
import type { AppRow } from "../wire.ts";
import { RequestDetail } from "./request-detail.tsx";

const PAGE = 100;
/** Stands for a custom time span, given by `from` and `to`. */
const BETWEEN = "between";
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
        <label class="control">
          <span class="hidden">Event type</span>
          <select value={type} onChange={(event) => setQuery({ type: event.currentTarget.value || null })}>
            <option value="">All event types</option>
            {typesOf(types.value, type).map((one) => (
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
      {rows.length > 0 && (
        <div class={log.isLoading && log.value === null ? "card table-frame stale" : "card table-frame"}>
          <table class="log">
            <thead>
              <tr>
                <th scope="col">Time</th>
                <th scope="col">Event</th>
                <th scope="col">Outcome</th>
                <th scope="col" class="right medium">
                  Attempt
                </th>
                <th scope="col" class="right medium">
                  Took
                </th>
                <th scope="col" class="wide">
                  Organization
                </th>
                <th scope="col" class="wide">
                  Delivery
                </th>
              </tr>
            </thead>
            <tbody>
              {rows.map((one) => (
                <tr key={attemptId(one)} class="linked">
                  <td class="numeric nowrap">
                    <When at={one.date} />
                  </td>
                  <th scope="row">
                    <button type="button" class="row-link" onClick={() => setQuery({ open: attemptId(one) })}>
                      {one.event_type}
                    </button>
                    {one.error && <span class="sub ellipsis">{one.error}</span>}
                  </th>
                  <td>
                    <OutcomePill outcome={one.outcome} code={one.response_code} />
                  </td>
                  <td class="right medium numeric">{one.attempt}</td>
                  <td class="right medium numeric nowrap">{duration(one.duration_ms)}</td>
                  <td class="wide">{one.organization_id ?? <span class="faint">internal</span>}</td>
                  <td class="wide mono faint">{one.delivery_id.slice(0, 12)}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
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

function typesOf(stats: AppStats | null, chosen: string): string[] {
  const types = new Set(stats?.event_types ?? []);
  if (chosen !== "") types.add(chosen);
  return [...types].sort();
}

/** Shows that there are new rows, and follows them on request. */
function Refresh({ row, log }: { row: AppRow; log: { value: unknown; isLoading: boolean; reload: () => void } }) {
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
