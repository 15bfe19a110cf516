/** Makes a link that signs an app's developer in to the app's page. */
import { useState } from "preact/hooks";
import type { PortalLink as Link } from "../../client/api-types.generated.ts";
import { call } from "../api.ts";
import { Copyable } from "../parts/copy.tsx";
import { Dialog } from "../parts/dialog.tsx";
import { Choice, Form, TextField, useForm } from "../parts/form.tsx";
import { When } from "../parts/when.tsx";

const SCOPES = {
  read: "Look",
  act: "Look, test, replay and resend",
  manage: "Also change URL, events, headers and secret",
} as const;

export function PortalLink({ slug }: { slug: string }) {
  const [isOpen, setOpen] = useState(false);
  return (
    <section class="card settings" aria-labelledby="portal-link">
      <div class="section-head">
        <div>
          <h2 id="portal-link">Developer access</h2>
          <p class="muted">A link opens this app’s page, and nothing else, until it expires or the secret is rotated.</p>
        </div>
        <button type="button" class="button" onClick={() => setOpen(true)}>
          Create link
        </button>
      </div>
      {isOpen && <LinkDialog slug={slug} onClose={() => setOpen(false)} />}
    </section>
  );
}

function LinkDialog({ slug, onClose }: { slug: string; onClose: () => void }) {
  const [link, setLink] = useState<Link | null>(null);
  const form = useForm(async (data) => {
    const body = { app: slug, scope: data.get("scope"), expires_in: data.get("expires_in"), name: String(data.get("name")).trim() || null };
    setLink(await call<Link>("v1/portal-links", { method: "POST", body }));
  });
  return (
    <Dialog
      title="Create a link"
      onClose={onClose}
      footer={
        link === null ? (
          <>
            <button type="button" class="button" onClick={onClose}>
              Cancel
            </button>
            <button type="submit" form={form.id} class="button primary" disabled={form.isRunning}>
              Create
            </button>
          </>
        ) : (
          <button type="button" class="button primary" onClick={onClose}>
            I have copied it
          </button>
        )
      }
    >
      {link === null ? (
        <Form form={form}>
          <Choice name="scope" label="Its holder may" value="read" options={SCOPES} />
          <TextField name="expires_in" label="Valid for" value="8h" help="Such as 30m, 8h or 7d." />
          <TextField
            name="name"
            label="Name of the holder"
            value=""
            placeholder="Optional"
            help="Changes are in the audit log under this name."
          />
        </Form>
      ) : (
        <>
          <p>
            It is shown only now, and valid until <When at={link.expires_at} />. Anyone who has it needs no token.
          </p>
          <div class="secret">
            <Copyable value={link.url} label="link" />
          </div>
        </>
      )}
    </Dialog>
  );
}
