/** An app's settings as a form. A save never overwrites a concurrent change. */
import { useState } from "preact/hooks";
import type { App } from "../../client/api-types.generated.ts";
import { ApiError, request } from "../api.ts";
import { patchOf, textsOf } from "../app-form.ts";
import { useGround } from "../ground.ts";
import { EventTypesField } from "../parts/event-types-field.tsx";
import { Choice, Form, Submit, TextField, useForm } from "../parts/form.tsx";
import { HeadersField } from "../parts/headers-field.tsx";
import { Failed, Loading, Note } from "../parts/notice.tsx";
import { useSay } from "../parts/toast.tsx";
import { useLoad } from "../use-load.ts";
import { AppDelete } from "./app-delete.tsx";
import { APP_STATUSES, DeliveryFields } from "./app-fields.tsx";
import { AppSecret } from "./app-secret.tsx";
import { PortalLink } from "./portal-link.tsx";

/** An app's record as an answer has it. */
interface Tagged {
  readonly record: App;
  readonly etag: string | null;
}

const taggedOf = async (response: Response): Promise<Tagged> => ({
  record: (await response.json()) as App,
  etag: response.headers.get("etag"),
});

export function AppSettings({ slug }: { slug: string }) {
  const { can } = useGround();
  const loaded = useLoad(slug, async (signal) => taggedOf(await request(`v1/apps/${slug}`, { signal })));
  const [saved, setSaved] = useState<Tagged | null>(null);
  if (loaded.error !== null && loaded.value === null)
    return <Failed what="The app’s settings" error={loaded.error} retry={loaded.reload} />;
  if (loaded.value === null) return <Loading what="the settings" />;
  const { record, etag } = saved ?? loaded.value;
  return (
    <>
      {!can.manage && <Note>Your token can view the settings, but not change them.</Note>}
      {can.manage && !can.change && (
        <Note>Your token can change the webhook URL, the event types and the headers, and rotate the secret.</Note>
      )}
      {record.invalid !== undefined && (
        <Note kind="warn">The stored record can’t be read; these settings are in force: {record.invalid}</Note>
      )}
      <RecordForm key={etag} record={record} etag={etag} onSaved={setSaved} />
      {can.manage && <AppSecret slug={slug} />}
      {can.change && <PortalLink owner={{ app: slug }} />}
      {can.change && <AppDelete record={record} />}
    </>
  );
}

function RecordForm({ record, etag, onSaved }: { record: App; etag: string | null; onSaved: (saved: Tagged) => void }) {
  const { can } = useGround();
  const say = useSay();
  const texts = textsOf(record);
  const form = useForm(async (data) => {
    const patch = patchOf(record, data);
    if (Object.keys(patch).length === 0) return say("Nothing was changed.");
    const headers: Record<string, string> = etag === null ? {} : { "if-match": etag };
    const answered = await request(`v1/apps/${record.slug}`, { method: "PATCH", body: patch, headers }).catch((reason: unknown) => {
      if (reason instanceof ApiError && reason.status === 412)
        throw new ApiError(412, "The app was changed in the meantime. Reload the page to see the current settings.");
      throw reason;
    });
    // The form is replaced by that of the saved record: were it asked for first, what is typed meanwhile would be lost.
    onSaved(await taggedOf(answered));
    say("Saved.");
  });
  return (
    <Form form={form} class="card settings" end={can.manage && <Submit form={form}>Save</Submit>}>
      <fieldset disabled={!can.manage || form.isRunning}>
        <legend class="hidden">Settings</legend>
        <div class="field-row">
          <TextField name="name" label="Name" value={texts.name} isDisabled={!can.change} />
          <Choice name="status" label="Status" value={texts.status} options={APP_STATUSES} isDisabled={!can.change} />
        </div>
        <TextField name="webhook_url" label="Webhook URL" value={texts.webhook_url} inputMode="url" isMono />
        <EventTypesField app={record.slug} chosen={record.events} isDisabled={!can.manage} />
        <HeadersField stored={Object.keys(record.headers)} isDisabled={!can.manage} />
        <DeliveryFields texts={texts} isDisabled={!can.change} />
      </fieldset>
    </Form>
  );
}
