/** The audit log: who changed what, newest first. */
import type { RefObject } from "preact";
import type { AuditEntry, AuditPage } from "../../client/api-types.generated.ts";
import { call, withQuery } from "../api.ts";
import { Empty, Failed, Loading } from "../parts/notice.tsx";
import { Older } from "../parts/older.tsx";
import { When } from "../parts/when.tsx";
import { usePages } from "../use-pages.ts";

const PAGE = 50;

/**
 * @param app null: all apps
 * @param reload loads them again
 */
export function Changes({ app, reload }: { app: string | null; reload: RefObject<() => void> }) {
  const pages = usePages<AuditEntry, AuditPage>(`changes ${app}`, (cursor, signal) =>
    call(withQuery("v1/audit", { app, cursor, limit: PAGE }), signal ? { signal } : {}),
  );
  const { first, items: entries } = pages;
  reload.current = first.reload;
  return (
    <>
      {first.error !== null && <Failed what="The changes" error={first.error} retry={first.reload} />}
      {first.value === null && first.error === null && <Loading what="the changes" />}
      {first.value !== null && entries.length === 0 && <Empty title="No changes in the last 400 days." />}
      {entries.length > 0 && (
        <div class="card timeline">
          <ol>
            {entries.map((entry) => (
              <Item key={entry.id} entry={entry} />
            ))}
          </ol>
        </div>
      )}
      <Older of={pages} />
    </>
  );
}

function Item({ entry: { who, action, target, at, before, after } }: { entry: AuditEntry }) {
  return (
    <li>
      <span class="event-dot event-plain" aria-hidden="true" />
      <p class="event-title">
        <span>
          <strong>{action}</strong> <span class="muted">by {who}</span>
        </span>
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
