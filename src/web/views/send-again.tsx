/** Sends the deliveries of a period again: asks what, counts it, and shows how it goes. */
import { useEffect, useRef, useState } from "preact/hooks";
import type { InstallationsOfApp, Replay, ReplayPage } from "../../client/api-types.generated.ts";
import { call, withQuery } from "../api.ts";
import { counted } from "../format.ts";
import { ActionError, Dialog, useAction } from "../parts/dialog.tsx";
import { Loading } from "../parts/notice.tsx";
import { instantOf } from "../time-span.ts";
import { useLoad } from "../use-load.ts";
import { zone } from "../zone.ts";
import { ReplayProgress } from "./replay-progress.tsx";

const POLL_EVERY_MS = 1_000;

/** The replay as it is now, asked for again while it has not ended. */
export function useReplay(): [Replay | null, (replay: Replay | null) => void] {
  const [replay, setReplay] = useState<Replay | null>(null);
  const isMoving = replay !== null && (replay.state === "running" || replay.state === "paused");
  useEffect(() => {
    if (!isMoving) return;
    const timer = setTimeout(() => {
      call<Replay>(`v1/replays/${replay.id}`).then(setReplay, () => setReplay({ ...replay }));
    }, POLL_EVERY_MS);
    return () => clearTimeout(timer);
  }, [replay]);
  return [replay, setReplay];
}

export function SendAgain({ slug, onClose }: { slug: string; onClose: () => void }) {
  const [replay, setReplay] = useReplay();
  const current = useLoad(slug, (signal) => call<ReplayPage>(withQuery("v1/replays", { app: slug, limit: 20 }), { signal }));
  useEffect(() => {
    const found = current.value?.items.find(({ state, dry_run }) => !dry_run && (state === "running" || state === "paused"));
    if (found !== undefined) setReplay(found);
  }, [current.value]);

  if (current.isLoading && current.value === null) {
    return (
      <Dialog title="Send again" onClose={onClose}>
        <Loading what="replays" />
      </Dialog>
    );
  }
  if (replay !== null && !replay.dry_run)
    return <ReplayProgress replay={replay} onChange={setReplay} onClose={onClose} onAnother={() => setReplay(null)} />;
  return <SendAgainForm slug={slug} counted={replay} onReplay={setReplay} onClose={onClose} />;
}

interface FormProps {
  readonly slug: string;
  /** The dry run of what the form says; null: it was changed since. */
  readonly counted: Replay | null;
  readonly onReplay: (replay: Replay | null) => void;
  readonly onClose: () => void;
}

function SendAgainForm({ slug, counted: dryRun, onReplay, onClose }: FormProps) {
  const form = useRef<HTMLFormElement>(null);
  const send = (isDry: boolean) => async (): Promise<void> => {
    const body = { app: slug, ...requestOf(new FormData(form.current ?? undefined)), dry_run: isDry };
    onReplay(await call<Replay>("v1/replays", { method: "POST", body }));
  };
  const count = useAction(send(true));
  const start = useAction(send(false));
  const isCounted = dryRun?.state === "done";

  return (
    <Dialog
      title="Send again"
      onClose={onClose}
      footer={
        <>
          <button type="button" class="button" onClick={onClose}>
            Cancel
          </button>
          <button type="submit" form="send-again" class={isCounted ? "button" : "button primary"} disabled={count.isRunning}>
            Count
          </button>
          {isCounted && (
            <button type="button" class="button primary" disabled={start.isRunning || dryRun.found === dryRun.skipped} onClick={start.run}>
              Send {dryRun.found - dryRun.skipped}
            </button>
          )}
        </>
      }
    >
      <form
        id="send-again"
        ref={form}
        class="fields"
        onInput={() => onReplay(null)}
        onSubmit={(event) => {
          event.preventDefault();
          count.run();
        }}
      >
        <p class="muted">Deliveries keep their ids and go to today's webhook URL. Fresh events are delivered first.</p>
        <Fields slug={slug} />
        <ActionError error={count.error ?? start.error} />
        <div role="status">{dryRun !== null && (isCounted ? <Counted dryRun={dryRun} /> : <Loading what="what would be sent" />)}</div>
      </form>
    </Dialog>
  );
}

function Fields({ slug }: { slug: string }) {
  const installations = useLoad(slug, (signal) =>
    call<InstallationsOfApp>(withQuery(`v1/apps/${slug}/installations`, { limit: 100 }), { signal }),
  );
  return (
    <>
      <label class="field">
        <span>What</span>
        <select name="what">
          <option value="missed">Missed: whatever was not delivered</option>
          <option value="failed">Failed: dead letters</option>
          <option value="all">All: delivered ones, too</option>
        </select>
      </label>
      <div class="field-row">
        <label class="field">
          <span>From</span>
          <input name="from" type="datetime-local" aria-describedby="send-again-times" />
        </label>
        <label class="field">
          <span>To</span>
          <input name="to" type="datetime-local" aria-describedby="send-again-times" />
        </label>
      </div>
      <p id="send-again-times" class="muted">
        When the event was published, {zone.isUtc() ? "in UTC" : `in your time zone, ${zone.name()}`}. Empty: the oldest event, or now.
      </p>
      <label class="field">
        <span>Event types</span>
        <input name="types" class="mono" placeholder="all" title="issue.created, or issue for all its actions; several with commas" />
      </label>
      <label class="field">
        <span>Installation</span>
        <select name="installation">
          <option value="">All</option>
          {installations.value?.items.map(({ uuid, organization_id, status }) => (
            <option key={uuid} value={uuid}>
              Organization {organization_id} · {status} · {uuid.slice(0, 8)}
            </option>
          ))}
        </select>
      </label>
      <label class="field">
        <span>Per second, at most</span>
        <input name="rate" type="number" min={0.1} max={1000} step="any" defaultValue="50" required />
      </label>
    </>
  );
}

function requestOf(given: FormData): Record<string, unknown> {
  const text = (name: string): string => String(given.get(name) ?? "").trim();
  const types = text("types")
    .split(",")
    .map((type) => type.trim())
    .filter(Boolean);
  return {
    what: text("what"),
    from: instantOf(text("from")),
    to: instantOf(text("to")),
    event_types: types.length === 0 ? null : types,
    installation_uuid: text("installation") || null,
    rate_per_s: Number(text("rate")),
  };
}

function Counted({ dryRun: { found, found_by_kind: kinds, skipped } }: { dryRun: Replay }) {
  return (
    <p>
      <strong>{counted(found, "delivery", "deliveries")}</strong>: {kinds.failed} failed, {kinds.missed} missed, {kinds.delivered}{" "}
      delivered.
      {skipped > 0 && ` ${skipped} of them will be skipped: they wait for delivery already, or can't be sent.`}
    </p>
  );
}
