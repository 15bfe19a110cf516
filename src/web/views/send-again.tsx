/** Sends the deliveries of a period again: asks what, counts it, and shows how it goes. */
import { useEffect, useState } from "preact/hooks";
import type { Replay, ReplayPage } from "../../client/api-types.generated.ts";
import { call, withQuery } from "../api.ts";
import { eventPatternsIn } from "../app-form.ts";
import { counted } from "../format.ts";
import { ActionError, Dialog, useAction } from "../parts/dialog.tsx";
import { Choice, Field, Form, Submit, TextField, useForm } from "../parts/form.tsx";
import { Loading } from "../parts/notice.tsx";
import { PublishedTypes } from "../parts/published-types.tsx";
import { instantOf } from "../time-span.ts";
import { useInstallationOptions } from "../use-installation-options.ts";
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
    // The answer to a change is newer than that of a poll from before it.
    let isOutdated = false;
    const set = (found: Replay): void => {
      if (!isOutdated) setReplay(found);
    };
    const timer = setTimeout(() => {
      call<Replay>(`v1/replays/${replay.id}`).then(set, () => set({ ...replay }));
    }, POLL_EVERY_MS);
    return () => {
      isOutdated = true;
      clearTimeout(timer);
    };
  }, [replay]);
  return [replay, setReplay];
}

interface SendAgainProps {
  readonly slug: string;
  /** The only installation that is meant; null: one is chosen, or all are. */
  readonly installation?: string | null;
  readonly onClose: () => void;
}

export function SendAgain({ slug, installation = null, onClose }: SendAgainProps) {
  const [replay, setReplay] = useReplay();
  const current = useLoad(slug, (signal) => call<ReplayPage>(withQuery("v1/replays", { app: slug, limit: 20 }), { signal }));
  useEffect(() => {
    const found = current.value?.items.find(
      ({ state, dry_run, installation_uuid: uuid }) =>
        !dry_run && (state === "running" || state === "paused") && (installation === null || uuid === installation),
    );
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
  return <SendAgainForm {...{ slug, installation, onClose }} counted={replay} onReplay={setReplay} />;
}

interface FormProps extends Required<SendAgainProps> {
  /** The dry run of what the form says; null: it was changed since. */
  readonly counted: Replay | null;
  readonly onReplay: (replay: Replay | null) => void;
}

function SendAgainForm({ slug, installation, counted: dryRun, onReplay, onClose }: FormProps) {
  const send = async (data: FormData, isDry: boolean): Promise<void> => {
    const owner = installation === null ? { app: slug } : { installation_uuid: installation };
    onReplay(await call<Replay>("v1/replays", { method: "POST", body: { ...requestOf(data), ...owner, dry_run: isDry } }));
  };
  const form = useForm((data) => send(data, true));
  const start = useAction(() => send(new FormData(document.getElementById(form.id) as HTMLFormElement), false));
  const isCounted = dryRun?.state === "done";

  return (
    <Dialog
      title="Send again"
      onClose={onClose}
      footer={
        <>
          <Submit form={form} class={isCounted ? "button" : "button primary"}>
            Count
          </Submit>
          {isCounted && (
            <button type="button" class="button primary" disabled={start.isRunning || dryRun.found === dryRun.skipped} onClick={start.run}>
              Send {dryRun.found - dryRun.skipped}
            </button>
          )}
        </>
      }
    >
      <Form form={form} onInput={() => onReplay(null)}>
        <p class="muted">Deliveries keep their ids and go to today's webhook URL. Fresh events are delivered first.</p>
        <Fields slug={slug} />
        {installation === null && <InstallationField slug={slug} />}
        <TextField name="rate_per_s" label="Per second, at most" value="50" inputMode="decimal" />
        <ActionError error={start.error} />
        <div role="status">{dryRun !== null && (isCounted ? <Counted dryRun={dryRun} /> : <Loading what="what would be sent" />)}</div>
      </Form>
    </Dialog>
  );
}

const WHAT = {
  missed: "Missed: whatever was not delivered",
  failed: "Failed: dead letters",
  all: "All: delivered ones, too",
} as const;

function Fields({ slug }: { slug: string }) {
  return (
    <>
      <Choice name="what" label="What" value="missed" options={WHAT} />
      <div class="field-row">
        {(["from", "to"] as const).map((name) => (
          <Field key={name} name={name} label={name === "from" ? "From" : "To"}>
            {(attributes) => <input {...attributes} type="datetime-local" />}
          </Field>
        ))}
      </div>
      <p class="muted">
        When the event was published, {zone.isUtc() ? "in UTC" : `in your time zone, ${zone.name()}`}. Empty: the oldest event, or now.
      </p>
      <Field name="event_types" label="Event types" help="Such as issue.created, or issue for all its actions; several with commas.">
        {(attributes) => (
          <>
            <input {...attributes} class="mono" placeholder="All" list="published-types" spellcheck={false} autocomplete="off" />
            <PublishedTypes app={slug} />
          </>
        )}
      </Field>
    </>
  );
}

function InstallationField({ slug }: { slug: string }) {
  return <Choice name="installation_uuid" label="Installation" value="" options={useInstallationOptions(slug, "All")} />;
}

function requestOf(given: FormData): Record<string, unknown> {
  const text = (name: string): string => String(given.get(name) ?? "").trim();
  const types = eventPatternsIn(text("event_types"));
  return {
    what: text("what"),
    from: instantOf(text("from")),
    to: instantOf(text("to")),
    event_types: types.length === 0 ? null : types,
    installation_uuid: text("installation_uuid") || null,
    rate_per_s: Number(text("rate_per_s")),
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
