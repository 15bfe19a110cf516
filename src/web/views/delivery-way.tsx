/** One delivery of an explained event: its state, its way as a timeline, and what can be done about it. */
import type { ExplainedDelivery, TimelineEntry } from "../../client/api-types.generated.ts";
import { call } from "../api.ts";
import { useGround } from "../ground.ts";
import { Copyable } from "../parts/copy.tsx";
import { DELIVERY_STATES } from "../parts/delivery-state.ts";
import { ActionError, useAction } from "../parts/dialog.tsx";
import { ResendIcon } from "../parts/icons.tsx";
import { sentence } from "../parts/notice.tsx";
import { Pill } from "../parts/pills.tsx";
import { useSay } from "../parts/toast.tsx";
import { When } from "../parts/when.tsx";
import { hrefOf } from "../routing.ts";

const KIND_OF: Readonly<Record<TimelineEntry["kind"], "ok" | "warn" | "bad" | "plain">> = {
  event: "plain",
  attempt: "warn",
  skipped: "plain",
  waiting: "warn",
  due: "plain",
  expires: "plain",
  delivered: "ok",
  dead_letter: "bad",
};

export function DeliveryWay({ delivery, onChange }: { delivery: ExplainedDelivery; onChange: () => void }) {
  const { app, installation_uuid: uuid, delivery_id: id, state, timeline } = delivery;
  return (
    <section class="card way" aria-label={`Delivery to ${app}`}>
      <header class="way-head">
        <h3>
          <a href={hrefOf(["apps", app])}>{app}</a> <Pill {...DELIVERY_STATES[state]} />
        </h3>
        <Actions delivery={delivery} onChange={onChange} />
      </header>
      <p class="way-detail">{sentence(delivery.detail)}</p>
      <p class="muted way-ids">
        <Copyable value={id} label="delivery id" href={hrefOf(["deliveries", id])} /> to installation{" "}
        <a class="mono" href={hrefOf(["installations", uuid])}>
          {uuid}
        </a>
      </p>
      <div class="timeline">
        <ol>
          {timeline.map((entry) => (
            <Step key={`${entry.at} ${entry.kind} ${entry.detail}`} entry={entry} />
          ))}
        </ol>
      </div>
    </section>
  );
}

function Step({ entry: { at, kind, detail } }: { entry: TimelineEntry }) {
  const color = kind === "attempt" && /: delivered\b/.test(detail) ? "ok" : KIND_OF[kind];
  return (
    <li>
      <span class={`event-dot event-${color}`} aria-hidden="true" />
      <p class="event-title">
        <span>{sentence(detail)}</span>
        <span class="event-time numeric muted">
          <When at={at} />
        </span>
      </p>
    </li>
  );
}

function Actions({ delivery, onChange }: { delivery: ExplainedDelivery; onChange: () => void }) {
  const { can } = useGround();
  const say = useSay();
  const { delivery_id: id, app, installation_uuid: uuid, installation_status: status, dead_letter: deadLetter, state, parked } = delivery;
  const post = (path: string, done: string) => async (): Promise<void> => {
    await call(path, { method: "POST" });
    say(done);
    onChange();
  };
  const replay = useAction(post(`v1/dead-letters/${deadLetter?.sequence}/replay`, "Replayed."));
  const resend = useAction(post(`v1/deliveries/${id}/resend`, "Resent as a run of its own."));
  const enable = useAction(post(`v1/installations/${uuid}/enable`, "Enabled. What is parked is being delivered."));
  const retry = useAction(post(`v1/apps/${app}/retry-now`, "What waits for a retry is due now."));
  const close = useAction(post(`v1/apps/${app}/circuit/close`, "The circuit is closed."));
  const error = replay.error ?? resend.error ?? enable.error ?? retry.error ?? close.error;
  const isPaused = status === "disabled" || status === "broken";
  return (
    <div class="way-actions">
      <ActionError error={error} />
      {can.pause && isPaused && state !== "delivered" && (
        <button type="button" class="button small" disabled={enable.isRunning} onClick={enable.run}>
          Enable installation
        </button>
      )}
      {can.test && state === "retrying" && (
        <button
          type="button"
          class="button small"
          title="All of the app that wait for a retry"
          disabled={retry.isRunning}
          onClick={retry.run}
        >
          Retry now
        </button>
      )}
      {can.test && parked?.because === "circuit" && (
        <button type="button" class="button small" disabled={close.isRunning} onClick={close.run}>
          Close circuit
        </button>
      )}
      {can.replay && deadLetter !== null && (
        <button type="button" class="button small primary" disabled={replay.isRunning} onClick={replay.run}>
          <ResendIcon /> Replay
        </button>
      )}
      {can.replay && deadLetter === null && state !== "pending" && (
        <button type="button" class="button small" disabled={resend.isRunning} onClick={resend.run}>
          <ResendIcon /> Resend
        </button>
      )}
    </div>
  );
}
