/** One attempt: the response first, then where its delivery is now, its other attempts, and the request. */

import { useState } from "preact/hooks";
import type { WebhookRequest, WebhookRequestPage } from "../../client/api-types.generated.ts";
import { call, withQuery } from "../api.ts";
import { duration } from "../format.ts";
import { useGround } from "../ground.ts";
import { OUTCOME_TEXTS } from "../outcomes.ts";
import { AttemptList } from "../parts/attempt-list.tsx";
import { Copyable } from "../parts/copy.tsx";
import { ActionError, Dialog, useAction } from "../parts/dialog.tsx";
import { RequestView, ResponseView } from "../parts/exchanged.tsx";
import { Facts, Lead, TraceId } from "../parts/facts.tsx";
import { ResendIcon } from "../parts/icons.tsx";
import { Failed, Loading } from "../parts/notice.tsx";
import { OutcomePill } from "../parts/pills.tsx";
import { useSay } from "../parts/toast.tsx";
import { When } from "../parts/when.tsx";
import { hrefOf, setQuery } from "../routing.ts";
import { attemptId } from "../rows.ts";
import { useLoad } from "../use-load.ts";
import { DeliveryNow } from "./delivery-now.tsx";

export function RequestDetail({ row, slug, onClose }: { row: WebhookRequest; slug: string; onClose: () => void }) {
  const { can } = useGround();
  const say = useSay();
  const [resends, setResends] = useState(0);
  const resend = useAction(async () => {
    await call(`v1/deliveries/${row.delivery_id}/resend`, { method: "POST" });
    setResends(resends + 1);
    say("Resent. It appears in the log as an attempt of its own.");
  });
  const { outcome, response_code, error, request_headers } = row;
  return (
    <Dialog
      side
      title={
        <>
          {row.event_type} <OutcomePill outcome={outcome} code={response_code} />
        </>
      }
      onClose={onClose}
      close={null}
      footer={
        can.replay && (
          <>
            <ActionError error={resend.error} />
            <button type="button" class="button primary" disabled={resend.isRunning} onClick={resend.run}>
              <ResendIcon /> Resend
            </button>
          </>
        )
      }
    >
      <Lead what={error ?? null} meaning={OUTCOME_TEXTS[outcome].meaning} />
      {request_headers !== undefined && <ResponseView {...row} />}
      <Facts
        facts={[
          ["Time", <When at={row.date} />],
          ["Took", duration(row.duration_ms)],
          ["Attempt", row.attempt],
          ["Response", response_code === 0 ? "none" : response_code],
          ["Organization", row.organization_id],
          ["URL", <span class="mono wrap">{row.webhook_url}</span>],
          ["Delivery", <Copyable value={row.delivery_id} label="delivery id" href={hrefOf(["deliveries", row.delivery_id])} />],
          ["Event", <Copyable value={row.event_id} label="event id" href={hrefOf(["events", row.event_id], { type: row.event_type })} />],
          ["Installation", <Copyable value={row.installation_uuid} label="installation" />],
          ["Trace", <TraceId id={row.trace_id} />],
          ["Error id", row.error_id && `${row.error_id} in project ${row.project_id}`],
        ]}
      />
      <DeliveryNow key={resends} id={row.delivery_id} />
      <Attempts row={row} slug={slug} />
      {request_headers === undefined ? (
        <p class="muted detail-section">
          Headers and bodies of delivered attempts are kept when <span class="mono">POSTHORN_LOG_DELIVERED_BODIES</span> is true.
        </p>
      ) : (
        <RequestView {...row} request_headers={request_headers} />
      )}
    </Dialog>
  );
}

/** Attempts that the log still has. */
function Attempts({ row, slug }: { row: WebhookRequest; slug: string }) {
  const { value, error, reload } = useLoad(`${slug} ${row.delivery_id}`, async (signal) => {
    const { event_type, delivery_id } = row;
    const path = withQuery(`v1/apps/${slug}/webhook-requests`, { event_type, delivery_id });
    return (await call<WebhookRequestPage>(path, { signal })).items.toReversed();
  });
  return (
    <section class="detail-section">
      <h3>Attempts of this delivery</h3>
      {error !== null && <Failed what="The attempts" error={error} retry={reload} />}
      {value === null && error === null && <Loading what="the attempts" />}
      {value !== null && (
        <AttemptList
          attempts={value.map((one) => ({
            key: attemptId(one),
            attempt: one.attempt,
            at: one.date,
            outcome: one.outcome,
            code: one.response_code,
            durationMs: one.duration_ms,
            error: one.error ?? null,
          }))}
          shown={attemptId(row)}
          onOpen={(open) => setQuery({ open })}
        />
      )}
    </section>
  );
}
