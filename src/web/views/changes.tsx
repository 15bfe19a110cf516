/** The audit log: who changed what, newest first. */
import type { AuditEntry, AuditPage } from "../../client/api-types.generated.ts";
import { call, withQuery } from "../api.ts";
import { Empty, Failed, Loading } from "../parts/notice.tsx";
import { When } from "../parts/when.tsx";
import { useLoad } from "../use-load.ts";

const PAGE = 200;

/** @param app null: all apps */
export function Changes({ app }: { app: string | null }) {
  const page = useLoad(`changes ${app}`, (signal) => call<AuditPage>(withQuery("v1/audit", { app, limit: PAGE }), { signal }));
  const entries = page.value?.items ?? [];
  return (
    <>
      {page.error !== null && <Failed what="The changes" error={page.error} retry={page.reload} />}
      {page.value === null && page.error === null && <Loading what="the changes" />}
      {page.value !== null && entries.length === 0 && <Empty title="No changes in the last 400 days." />}
      {entries.length > 0 && (
        <div class="card timeline">
          <ol>
            {entries.map((entry) => (
              <Item key={entry.id} entry={entry} />
            ))}
          </ol>
        </div>
      )}
    </>
  );
}

function Item({ entry: { who, action, target, at, before, after } }: { entry: AuditEntry }) {
  return (
    <li>
      <span class="event-dot event-plain" aria-hidden="true" />
      <p class="event-title">
        <strong>{action}</strong> <span class="muted">by {who}</span>
        <span class="event-time numeric muted">
          <When at={at} />
        </span>
      </p>
      <p class="muted event-detail mono">{target}</p>
      {before !== null && <p class="muted event-detail mono">before: {JSON.stringify(before)}</p>}
      {after !== null && <p class="muted event-detail mono">after: {JSON.stringify(after)}</p>}
    </li>
  );
}
