/** One dead letter: why it was given up, its attempts, and its event as it was published. */

import type { DeadLetter } from "../../client/api-types.generated.ts";
import { call, request } from "../api.ts";
import { useGround } from "../ground.ts";
import { memberText } from "../json-member.ts";
import { layOutJson } from "../json-text.ts";
import { REASON_TEXTS } from "../outcomes.ts";
import { AttemptList } from "../parts/attempt-list.tsx";
import { BodyView, JsonTokens } from "../parts/body-view.tsx";
import { Code } from "../parts/code.tsx";
import { Copyable } from "../parts/copy.tsx";
import { ActionError, Dialog, useAction } from "../parts/dialog.tsx";
import { Facts, Lead } from "../parts/facts.tsx";
import { Headers } from "../parts/headers.tsx";
import { ResendIcon } from "../parts/icons.tsx";
import { Failed, Loading } from "../parts/notice.tsx";
import { ReasonPill } from "../parts/pills.tsx";
import { useSay } from "../parts/toast.tsx";
import { When } from "../parts/when.tsx";
import { hrefOf } from "../routing.ts";
import { deadLetterType, mayReplay } from "../rows.ts";
import { useLoad } from "../use-load.ts";

export function DeadLetterDetail({
  deadLetter,
  onClose,
  onReplayed,
  onDelete,
}: {
  deadLetter: DeadLetter;
  onClose: () => void;
  onReplayed: () => void;
  onDelete: () => void;
}) {
  const { can } = useGround();
  const say = useSay();
  const replay = useAction(async () => {
    await call(`v1/dead-letters/${deadLetter.sequence}/replay`, { method: "POST" });
    say("Replayed.");
    onClose();
    onReplayed();
  });
  const { reason, error, event, attempts = [], app, headers, body, body_base64, body_cut } = deadLetter;
  return (
    <Dialog
      side
      title={
        <>
          {deadLetterType(deadLetter)} <ReasonPill reason={reason} />
        </>
      }
      onClose={onClose}
      close={null}
      footer={
        <>
          <ActionError error={replay.error} />
          {can.change && (
            <button
              type="button"
              class="button quiet"
              onClick={() => {
                onClose();
                onDelete();
              }}
            >
              Delete…
            </button>
          )}
          {can.replay && mayReplay(deadLetter) && (
            <button type="button" class="button primary" disabled={replay.isRunning} onClick={replay.run}>
              <ResendIcon /> Replay
            </button>
          )}
        </>
      }
    >
      <Lead what={error} meaning={REASON_TEXTS.get(reason)?.meaning ?? ""} />
      <Facts
        facts={[
          ["Given up", <When at={deadLetter.dead_lettered_at} />],
          ["Occurred", event && <When at={event.occurred_at} />],
          ["App", app && <a href={hrefOf(["apps", app])}>{app}</a>],
          ["Organization", event?.organization_id],
          ["Installation", deadLetter.installation_uuid && <Copyable value={deadLetter.installation_uuid} label="installation" />],
          [
            "Delivery",
            deadLetter.delivery_id && (
              <Copyable value={deadLetter.delivery_id} label="delivery id" href={hrefOf(["deliveries", deadLetter.delivery_id])} />
            ),
          ],
          [
            "Event",
            event && (
              <Copyable value={event.id} label="event id" href={hrefOf(["events", event.id], { type: deadLetterType(deadLetter) })} />
            ),
          ],
          ["Number", deadLetter.sequence],
        ]}
      />
      {attempts.length > 0 && (
        <section class="detail-section">
          <h3>Attempts</h3>
          <AttemptList
            attempts={attempts.map((one) => ({
              key: `${one.attempt} ${one.at}`,
              attempt: one.attempt,
              at: one.at,
              outcome: one.outcome,
              code: one.response_code,
              durationMs: one.duration_ms,
              error: one.error,
            }))}
          />
        </section>
      )}
      {event !== undefined && body_cut !== true && <EventData sequence={deadLetter.sequence} />}
      {headers !== undefined && <Headers title="Message headers" headers={headers} />}
      {body !== undefined && <BodyView title={event === undefined ? "Message" : "Event data"} text={body} isCut={body_cut === true} />}
      {body_base64 !== undefined && <BodyView title="Message, base64" text={body_base64} isCut={body_cut === true} />}
    </Dialog>
  );
}

/** Reads the event as text, so that its numbers keep their digits. */
function EventData({ sequence }: { sequence: number }) {
  const { value, error, reload } = useLoad(String(sequence), async (signal) => {
    const text = await (await request(`v1/dead-letters/${sequence}`, { signal })).text();
    return memberText(memberText(text, "event") ?? "", "data") ?? "";
  });
  const layout = value === null ? null : layOutJson(value);
  return (
    <section class="detail-section">
      <h3>Event data</h3>
      {error !== null && <Failed what="The event" error={error} retry={reload} />}
      {value === null && error === null && <Loading what="the event" />}
      {value !== null && <Code label="Event data">{layout === null ? value : <JsonTokens layout={layout} />}</Code>}
    </section>
  );
}
