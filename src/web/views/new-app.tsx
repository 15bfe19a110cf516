/** Creates an app, and installs it where it is wanted. */
import { useEffect, useRef, useState } from "preact/hooks";
import type { MadeApp } from "../../client/api-types.generated.ts";
import { ApiError, call } from "../api.ts";
import { type AppTexts, membersOf } from "../app-form.ts";
import { EventTypesField } from "../parts/event-types-field.tsx";
import { Choice, Form, Submit, TextField, useForm } from "../parts/form.tsx";
import { HeadersField } from "../parts/headers-field.tsx";
import { useSay } from "../parts/toast.tsx";
import { hrefOf } from "../routing.ts";
import { APP_STATUSES, DeliveryFields } from "./app-fields.tsx";
import { SecretDialog } from "./app-secret.tsx";

const NEW: AppTexts = {
  ...{ name: "", webhook_url: "", status: "unpublished", timeout_ms: "", max_in_flight: "", retry_schedule_s: "", retry_on: "" },
  ...{ "rate_limit.per_s": "", "rate_limit.burst": "", order_by: "none", order_pointer: "", on_exhausted: "continue" },
};

export function NewApp() {
  const say = useSay();
  const [made, setMade] = useState<MadeApp | null>(null);
  const form = useForm(async (data) => {
    const slug = String(data.get("slug")).trim();
    const body = membersOf(data);
    const app = await call<MadeApp>(`v1/apps/${encodeURIComponent(slug)}`, {
      method: "PUT",
      body,
      headers: { "if-none-match": "*" },
    }).catch((reason: unknown) => {
      throw reason instanceof ApiError && reason.status === 412
        ? new ApiError(412, "", [{ path: "slug", message: `There is an app ${slug} already.` }])
        : reason;
    });
    setMade(app);
    const organizations = String(data.get("organizations"))
      .split(/[\s,]+/)
      .filter(Boolean);
    for (const organization_id of organizations) {
      await call("v1/installations", { method: "POST", body: { app: slug, organization_id } }).catch((reason: unknown) =>
        say(`Not installed in organization ${organization_id}: ${(reason as Error).message}`, "bad"),
      );
    }
  });
  useEffect(() => {
    document.title = "New app · Posthorn";
  }, []);
  return (
    <>
      <div class="head">
        <nav class="crumbs" aria-label="Breadcrumb">
          <a href="#/">Apps</a> <span aria-hidden="true">/</span>
        </nav>
        <h1 tabIndex={-1}>New app</h1>
      </div>
      <Form
        form={form}
        class="card settings"
        end={
          <>
            <a class="button" href="#/">
              Cancel
            </a>
            <Submit form={form}>Create app</Submit>
          </>
        }
      >
        <fieldset disabled={form.isRunning}>
          <legend class="hidden">New app</legend>
          <Names />
          <TextField name="webhook_url" label="Webhook URL" value="" placeholder="https://hooks.example.com/in" inputMode="url" isMono />
          <EventTypesField app={null} chosen={[]} isDisabled={false} />
          <TextField
            name="organizations"
            label="Install in organizations"
            value=""
            placeholder="Optional"
            help="Their ids, with commas. An app gets the events of the organizations that it is installed in."
          />
          <details class="more">
            <summary>Status, headers, retries, limits and order</summary>
            <Choice name="status" label="Status" value={NEW.status} options={APP_STATUSES} />
            <HeadersField stored={[]} isDisabled={false} />
            <DeliveryFields texts={NEW} isDisabled={false} />
          </details>
        </fieldset>
      </Form>
      {made !== null && (
        <SecretDialog
          title={`${made.name} is created`}
          secrets={made}
          onClose={() => {
            location.hash = hrefOf(["apps", made.slug]);
          }}
        />
      )}
    </>
  );
}

/** The slug follows the name until it is changed itself. */
function Names() {
  const [slug, setSlug] = useState("");
  const isOwn = useRef(false);
  return (
    <div class="field-row">
      <TextField name="name" label="Name" value="" onInput={(name) => !isOwn.current && setSlug(slugOf(name))} />
      <TextField
        name="slug"
        label="Slug"
        value={slug}
        help="In addresses and subjects; it can’t be changed later."
        isMono
        onInput={() => {
          isOwn.current = true;
        }}
      />
    </div>
  );
}

function slugOf(name: string): string {
  return name
    .normalize("NFKD")
    .toLowerCase()
    .replace(/\p{M}/gu, "")
    .replace(/[^a-z0-9]+/g, "-")
    .slice(0, 64)
    .replace(/^-|-$/g, "");
}
