/** An app's settings as a form, and its secret. A save never overwrites a concurrent change. */
import { useRef, useState } from "preact/hooks";
import type { App, RotatedSecret } from "../../client/api-types.generated.ts";
import { ApiError, call, request } from "../api.ts";
import { type AppForm, formOf, linesOf, ownPatchOf, recordOf } from "../app-form.ts";
import { useGround } from "../ground.ts";
import { Copyable } from "../parts/copy.tsx";
import { ActionError, Confirm, Dialog, useAction } from "../parts/dialog.tsx";
import { Failed, Loading, Note } from "../parts/notice.tsx";
import { useSay } from "../parts/toast.tsx";
import { When } from "../parts/when.tsx";
import { useLoad } from "../use-load.ts";

export function AppSettings({ slug }: { slug: string }) {
  const { can } = useGround();
  const loaded = useLoad(slug, async (signal) => {
    const response = await request(`v1/apps/${slug}`, { signal });
    return { record: (await response.json()) as App, etag: response.headers.get("etag") };
  });
  if (loaded.error !== null && loaded.value === null)
    return <Failed what="The app’s settings" error={loaded.error} retry={loaded.reload} />;
  if (loaded.value === null) return <Loading what="the settings" />;
  const { record, etag } = loaded.value;
  return (
    <>
      {!can.manage && <Note>Your token can view the settings, but not change them.</Note>}
      {can.manage && !can.change && (
        <Note>Your token can change the webhook URL, the event types and the headers, and rotate the secret.</Note>
      )}
      <RecordForm key={etag} record={record} etag={etag} onSaved={loaded.reload} />
      {can.manage && <Secret slug={slug} />}
    </>
  );
}

function RecordForm({ record, etag, onSaved }: { record: App; etag: string | null; onSaved: () => void }) {
  const { can } = useGround();
  const say = useSay();
  const element = useRef<HTMLFormElement>(null);
  const form = formOf(record);
  const { run, isRunning, error } = useAction(async () => {
    const given = Object.fromEntries(new FormData(element.current ?? undefined)) as unknown as AppForm;
    await call(`v1/apps/${record.slug}`, {
      ...(can.change ? { method: "PUT", body: recordOf(record, given) } : { method: "PATCH", body: ownPatchOf(record, given) }),
      headers: etag === null ? {} : { "if-match": etag },
    }).catch((reason: unknown) => {
      if (reason instanceof ApiError && reason.status === 412) {
        throw new ApiError(412, "The app was changed in the meantime. Reload the page to see the current settings.");
      }
      throw reason;
    });
    say("Saved.");
    onSaved();
  });
  return (
    <form
      ref={element}
      class="card settings"
      onSubmit={(event) => {
        event.preventDefault();
        run();
      }}
    >
      <fieldset disabled={!can.manage || isRunning}>
        <legend class="hidden">Settings</legend>
        <label class="field">
          <span>Name</span>
          <input name="name" defaultValue={form.name} required maxLength={200} disabled={!can.change} />
        </label>
        <label class="field">
          <span>Webhook URL</span>
          <input name="webhook_url" class="mono" type="url" defaultValue={form.webhook_url} required />
        </label>
        <Choice
          label="Status"
          name="status"
          chosen={form.status}
          options={{ internal: "Internal", unpublished: "Unpublished", published: "Published" }}
          isDisabled={!can.change}
        />
        <label class="field">
          <span>Event types</span>
          <textarea name="events" class="mono" rows={rowsFor(form.events)} spellcheck={false}>
            {form.events}
          </textarea>
          <small>One per line: issue, issue.created, metric_alert.*, or * for all.</small>
        </label>
        <label class="field">
          <span>Headers</span>
          <textarea
            name="headers"
            title="[redacted] keeps the value that is stored"
            class="mono"
            rows={rowsFor(form.headers)}
            spellcheck={false}
          >
            {form.headers}
          </textarea>
          <small>Sent with every webhook. One per line: Name: value.</small>
        </label>
        <DeliveryFields form={form} isDisabled={!can.change} />
      </fieldset>
      {can.manage && (
        <div class="form-end">
          <ActionError error={error} />
          <button type="submit" class="button primary" disabled={isRunning}>
            Save
          </button>
        </div>
      )}
    </form>
  );
}

/** How deliveries are attempted. */
function DeliveryFields({ form, isDisabled }: { form: AppForm; isDisabled: boolean }) {
  return (
    <>
      <div class="field-row">
        <label class="field">
          <span>Deadline, ms</span>
          <input name="timeout_ms" inputMode="numeric" defaultValue={form.timeout_ms} placeholder="Default" disabled={isDisabled} />
        </label>
        <label class="field">
          <span>Concurrent attempts</span>
          <input name="max_in_flight" inputMode="numeric" defaultValue={form.max_in_flight} placeholder="Default" disabled={isDisabled} />
        </label>
        <Choice
          label="Order"
          name="ordered"
          chosen={form.ordered}
          options={{ false: "Concurrent", true: "One at a time" }}
          isDisabled={isDisabled}
        />
      </div>
      <label class="field">
        <span>Retries after, s</span>
        <input name="retry_schedule_s" class="mono" defaultValue={form.retry_schedule_s} placeholder="Default" disabled={isDisabled} />
        <small>Delays before the 2nd, 3rd, … attempt, such as 5, 30, 300. “none” for no retries, empty for the default.</small>
      </label>
      <label class="field">
        <span>Retries on</span>
        <input name="retry_on" class="mono" defaultValue={form.retry_on} placeholder="Default" disabled={isDisabled} />
        <small>Answers that are retried, such as 404, 429, 5xx. “none” for no answer, empty for the default.</small>
      </label>
    </>
  );
}

interface ChoiceProps {
  readonly label: string;
  readonly name: string;
  readonly chosen: string;
  readonly options: Readonly<Record<string, string>>;
  readonly isDisabled: boolean;
}

function Choice({ label, name, chosen, options, isDisabled }: ChoiceProps) {
  return (
    <label class="field">
      <span>{label}</span>
      <select name={name} disabled={isDisabled}>
        {Object.entries(options).map(([value, text]) => (
          <option key={value} value={value} selected={value === chosen}>
            {text}
          </option>
        ))}
      </select>
    </label>
  );
}

function rowsFor(text: string): number {
  return Math.min(12, Math.max(2, linesOf(text).length + 1));
}

function Secret({ slug }: { slug: string }) {
  const { can } = useGround();
  const [isAsking, setAsking] = useState(false);
  const [rotated, setRotated] = useState<RotatedSecret | null>(null);
  return (
    <section class="card settings" aria-labelledby="secret">
      <div class="section-head">
        <div>
          <h2 id="secret">Client secret</h2>
          <p class="muted">Signs every webhook. After a rotation both secrets are valid for a day, so that the receiver can switch.</p>
        </div>
        <button type="button" class="button" onClick={() => setAsking(true)}>
          Rotate secret
        </button>
      </div>
      {isAsking && (
        <Confirm
          title="Rotate the client secret?"
          action="Rotate"
          onClose={() => setAsking(false)}
          onConfirm={async () => setRotated(await call<RotatedSecret>(`v1/apps/${slug}/secret/rotate`, { method: "POST" }))}
        >
          <p>A new secret is generated and shown once. Webhooks carry both signatures for a day; then the old secret is no longer used.</p>
          {!can.change && <p>You are signed out: the app’s links and tokens end with the old secret.</p>}
        </Confirm>
      )}
      {rotated !== null && (
        <Dialog
          title="New secret"
          onClose={() => setRotated(null)}
          footer={
            <button type="button" class="button primary" onClick={() => setRotated(null)}>
              I have copied it
            </button>
          }
        >
          <p>It is shown only now.</p>
          <div class="secret">
            <span class="muted">Client secret</span>
            <Copyable value={rotated.client_secret} label="client secret" />
          </div>
          <div class="secret">
            <span class="muted">In Standard Webhooks form</span>
            <Copyable value={rotated.webhook_secret} label="webhook secret" />
          </div>
          <p class="muted">
            The old one is valid until <When at={rotated.previous_valid_until} />.
          </p>
        </Dialog>
      )}
    </section>
  );
}
