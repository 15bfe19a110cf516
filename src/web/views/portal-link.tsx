/** Makes a link that signs in to the page of an app or an organization. */
import { useState } from "preact/hooks";
import type { PortalLink as Link } from "../../client/api-types.generated.ts";
import { call } from "../api.ts";
import { Copyable } from "../parts/copy.tsx";
import { Dialog } from "../parts/dialog.tsx";
import { Choice, Form, Submit, TextField, useForm } from "../parts/form.tsx";
import { When } from "../parts/when.tsx";

const OF_APP = {
  title: "Developer access",
  about: "A link opens this app’s page, and nothing else, until it expires or the secret is rotated.",
  scopes: { read: "Look", act: "Look, test, replay and resend", manage: "Also change URL, events, headers and secret" },
};

const OF_ORGANIZATION: typeof OF_APP = {
  title: "Organization access",
  about: "A link shows this organization’s installations, events and deliveries, and nothing else, until it expires.",
  scopes: { read: "Look", act: "Look, replay and resend", manage: "Also enable, disable and change installations" },
};

type Owner = { readonly app: string } | { readonly organization_id: string };

const textsOf = (owner: Owner): typeof OF_APP => ("app" in owner ? OF_APP : OF_ORGANIZATION);

export function PortalLink({ owner }: { owner: Owner }) {
  const [isOpen, setOpen] = useState(false);
  const { title, about } = textsOf(owner);
  return (
    <section class="card settings" aria-labelledby="portal-link">
      <div class="section-head">
        <div>
          <h2 id="portal-link">{title}</h2>
          <p class="muted">{about}</p>
        </div>
        <button type="button" class="button" onClick={() => setOpen(true)}>
          Create link
        </button>
      </div>
      {isOpen && <LinkDialog owner={owner} onClose={() => setOpen(false)} />}
    </section>
  );
}

function LinkDialog({ owner, onClose }: { owner: Owner; onClose: () => void }) {
  const [link, setLink] = useState<Link | null>(null);
  const form = useForm(async (data) => {
    const body = { ...owner, scope: data.get("scope"), expires_in: data.get("expires_in"), name: String(data.get("name")).trim() || null };
    setLink(await call<Link>("v1/portal-links", { method: "POST", body }));
  });
  return (
    <Dialog
      title="Create a link"
      onClose={onClose}
      close={link === null ? "Cancel" : null}
      footer={
        link === null ? (
          <Submit form={form}>Create</Submit>
        ) : (
          <button type="button" class="button primary" onClick={onClose}>
            I have copied it
          </button>
        )
      }
    >
      {link === null ? (
        <Form form={form}>
          <Choice name="scope" label="Its holder may" value="read" options={textsOf(owner).scopes} />
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
