/** An app's secret: replaced, and shown once. */
import { useState } from "preact/hooks";
import type { RotatedSecret } from "../../client/api-types.generated.ts";
import { call, token } from "../api.ts";
import { useGround } from "../ground.ts";
import { Copyable } from "../parts/copy.tsx";
import { Confirm, Dialog } from "../parts/dialog.tsx";
import { When } from "../parts/when.tsx";

export function AppSecret({ slug }: { slug: string }) {
  const { can } = useGround();
  const [isAsking, setAsking] = useState(false);
  const [rotated, setRotated] = useState<RotatedSecret | null>(null);
  const close = (): void => {
    setRotated(null);
    // The app's token ended with the old secret.
    if (can.change) return;
    token.clear();
    location.reload();
  };
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
          <p>
            {can.change
              ? "Links and tokens of the app end with the old secret."
              : "You are signed out: the app’s links and tokens end with the old secret."}
          </p>
        </Confirm>
      )}
      {rotated !== null && (
        <SecretDialog title="New secret" secrets={rotated} onClose={close}>
          <p class="muted">
            The old one is valid until <When at={rotated.previous_valid_until} />.
          </p>
        </SecretDialog>
      )}
    </section>
  );
}

interface SecretDialogProps {
  readonly title: string;
  readonly secrets: { readonly client_secret: string; readonly webhook_secret: string };
  readonly onClose: () => void;
  readonly children?: preact.ComponentChildren;
}

export function SecretDialog({ title, secrets, onClose, children }: SecretDialogProps) {
  return (
    <Dialog
      title={title}
      onClose={onClose}
      close={null}
      footer={
        <button type="button" class="button primary" onClick={onClose}>
          I have copied it
        </button>
      }
    >
      <p>It is shown only now.</p>
      <div class="secret">
        <span class="muted">Client secret</span>
        <Copyable value={secrets.client_secret} label="client secret" />
      </div>
      <div class="secret">
        <span class="muted">In Standard Webhooks form</span>
        <Copyable value={secrets.webhook_secret} label="webhook secret" />
      </div>
      {children}
    </Dialog>
  );
}
