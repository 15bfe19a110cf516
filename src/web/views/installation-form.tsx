/** Installs an app, or changes an installation. */
import { useState } from "preact/hooks";
import type { Installation } from "../../client/api-types.generated.ts";
import { ApiError, call, request } from "../api.ts";
import { counted } from "../format.ts";
import { useGround } from "../ground.ts";
import { Confirm, Dialog } from "../parts/dialog.tsx";
import { Form, Submit, TextField, useForm } from "../parts/form.tsx";
import { useSay } from "../parts/toast.tsx";
import { MISSING } from "../problem-text.ts";

interface InstallationFormProps {
  readonly app: string;
  /** Null: a new one. */
  readonly installation: (Installation & { readonly parked?: number | null }) | null;
  readonly onClose: () => void;
  readonly onDone: () => void;
}

export function InstallationForm({ app, installation, onClose, onDone }: InstallationFormProps) {
  const { can } = useGround();
  const say = useSay();
  const [isDeleting, setDeleting] = useState(false);
  const [isDuplicate, setDuplicate] = useState(false);
  const form = useForm(async (data) => {
    const body = bodyOf(data);
    if (body.organization_id === "") throw new ApiError(0, "", [{ path: "organization_id", message: MISSING }]);
    if (installation === null) {
      const duplicate = data.has("allow_duplicate") ? { allow_duplicate: true } : {};
      await call("v1/installations", { method: "POST", body: { app, ...body, ...duplicate } }).catch((reason: unknown) => {
        if (!(reason instanceof ApiError) || reason.status !== 409) throw reason;
        setDuplicate(true);
        throw new ApiError(409, "", [{ path: "organization_id", message: "The app is installed in this organization already." }]);
      });
    } else await call(`v1/installations/${installation.uuid}`, { method: "PATCH", body: changedIn(installation, body) });
    say(installation === null ? `Installed in organization ${body.organization_id}.` : "Saved.");
    onDone();
    onClose();
  });
  if (isDeleting && installation !== null) return <Uninstall installation={installation} onClose={onClose} onDone={onDone} />;
  return (
    <Dialog
      title={installation === null ? `Install ${app}` : `${installation.app} in organization ${installation.organization_id}`}
      onClose={onClose}
      footer={
        <>
          {installation !== null && can.change && (
            <button type="button" class="button bad first" onClick={() => setDeleting(true)}>
              Uninstall
            </button>
          )}
          <Submit form={form}>{installation === null ? "Install" : "Save"}</Submit>
        </>
      }
    >
      <Form form={form}>
        {can.change && <TextField name="organization_id" label="Organization" value={installation?.organization_id ?? ""} />}
        {isDuplicate && (
          <label class="check">
            <input type="checkbox" name="allow_duplicate" /> Install it a second time
          </label>
        )}
        <TextField
          name="project_ids"
          label="Projects"
          value={installation?.project_ids.join(", ") ?? ""}
          placeholder="All"
          help="Their ids, with commas. Only events of these projects are delivered."
        />
        <TextField
          name="webhook_url"
          label="Webhook URL"
          value={installation?.webhook_url ?? ""}
          placeholder="The app’s"
          inputMode="url"
          isMono
        />
      </Form>
    </Dialog>
  );
}

type Body = Partial<Pick<Installation, "organization_id" | "project_ids" | "webhook_url">>;

function bodyOf(data: FormData): Body {
  const text = (name: string): string => String(data.get(name) ?? "").trim();
  return {
    ...(data.has("organization_id") ? { organization_id: text("organization_id") } : {}),
    project_ids: text("project_ids")
      .split(/[\s,]+/)
      .filter(Boolean),
    webhook_url: text("webhook_url") || null,
  };
}

function changedIn(before: Installation, body: Body): Body {
  const known = new Map<string, unknown>(Object.entries(before));
  return Object.fromEntries(Object.entries(body).filter(([name, value]) => JSON.stringify(value) !== JSON.stringify(known.get(name))));
}

function Uninstall({
  installation,
  onClose,
  onDone,
}: Pick<InstallationFormProps, "onClose" | "onDone"> & { installation: NonNullable<InstallationFormProps["installation"]> }) {
  const say = useSay();
  const { uuid, app, organization_id: organization, parked = null } = installation;
  return (
    <Confirm
      title="Uninstall the app?"
      action="Uninstall"
      danger
      onClose={onClose}
      onConfirm={async () => {
        await request(`v1/installations/${uuid}`, { method: "DELETE" });
        say(`Uninstalled: ${app} in organization ${organization}.`);
        onDone();
      }}
    >
      <p>
        {app} gets no more events of <strong>organization {organization}</strong>. The installation and its health are removed;{" "}
        {parked === null || parked === 0
          ? "deliveries that wait for it go to dead letters."
          : `${counted(parked, "parked delivery goes", "parked deliveries go")} to dead letters, with those that wait for a retry.`}
      </p>
    </Confirm>
  );
}
