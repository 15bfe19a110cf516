/** Deletes an app, after its name was typed. */
import { useState } from "preact/hooks";
import type { App } from "../../client/api-types.generated.ts";
import { ApiError, request } from "../api.ts";
import { counted } from "../format.ts";
import { useGround } from "../ground.ts";
import { Dialog } from "../parts/dialog.tsx";
import { Form, Submit, TextField, useForm } from "../parts/form.tsx";
import { useSay } from "../parts/toast.tsx";
import { hrefOf } from "../routing.ts";
import type { AppRow } from "../wire.ts";

export function AppDelete({ record }: { record: App }) {
  const [isAsking, setAsking] = useState(false);
  return (
    <section class="card settings" aria-labelledby="delete">
      <div class="section-head">
        <div>
          <h2 id="delete">Delete the app</h2>
          <p class="muted">Removes it with its installations. What waits for it goes to dead letters.</p>
        </div>
        <button type="button" class="button bad" onClick={() => setAsking(true)}>
          Delete app
        </button>
      </div>
      {isAsking && <Ask record={record} onClose={() => setAsking(false)} />}
    </section>
  );
}

function Ask({ record: { slug, name }, onClose }: { record: App; onClose: () => void }) {
  const { live } = useGround().feed;
  const say = useSay();
  const row = live.state === "ready" ? live.apps.get(slug) : undefined;
  const form = useForm(async (data) => {
    if (String(data.get("slug")).trim() !== slug)
      throw new ApiError(0, "", [{ path: "slug", message: `Enter ${slug} to delete this app.` }]);
    await request(`v1/apps/${slug}`, { method: "DELETE" });
    say(`Deleted: ${name}.`);
    location.hash = hrefOf([]);
  });
  return (
    <Dialog
      title={`Delete ${name}?`}
      onClose={onClose}
      footer={
        <Submit form={form} class="button danger">
          Delete
        </Submit>
      }
    >
      <Form form={form}>
        <p>This can’t be undone:</p>
        <ul class="bullets">
          {goingWith(row).map((line) => (
            <li key={line}>{line}</li>
          ))}
        </ul>
        <TextField name="slug" label={`Type ${slug} to confirm`} value="" isMono />
      </Form>
    </Dialog>
  );
}

/** @param row undefined: not known now */
function goingWith(row: AppRow | undefined): string[] {
  const { active, broken, disabled } = row?.installations ?? { active: 0, broken: 0, disabled: 0 };
  const installed = active + broken + disabled;
  const parked = row?.parked ?? null;
  return [
    installed === 0
      ? "The app and its settings are removed."
      : `The app, its settings and ${installed === 1 ? "its installation" : `its ${counted(installed, "installation")}`} are removed.`,
    parked === null || parked === 0
      ? "Deliveries that wait go to dead letters."
      : `${counted(parked, "parked delivery goes", "parked deliveries go")} to dead letters, with those that wait for a retry.`,
    "Its secret, its tokens and its links end at once.",
    "Its dead letters stay for 30 days. A later app with the same slug does not have its requests.",
  ];
}
