/** An app's installations, their status, and why it is what it is. */
import { useEffect, useState } from "preact/hooks";
import type { InstallationsOfApp } from "../../client/api-types.generated.ts";
import type { InstallationStatus } from "../../model/app.ts";
import { call, withQuery } from "../api.ts";
import { counted } from "../format.ts";
import { useGround } from "../ground.ts";
import { Confirm } from "../parts/dialog.tsx";
import { Empty, Failed, Loading } from "../parts/notice.tsx";
import { StatusPill } from "../parts/pills.tsx";
import { Segments } from "../parts/segments.tsx";
import { Table } from "../parts/table.tsx";
import { useSay } from "../parts/toast.tsx";
import { When } from "../parts/when.tsx";
import { hrefOf, type Place, setQuery } from "../routing.ts";
import { useLoad } from "../use-load.ts";
import type { AppRow, InstallationRow } from "../wire.ts";
import { InstallationForm } from "./installation-form.tsx";

type Action = "enable" | "disable" | "discard";

const RULE_TEXTS: ReadonlyMap<string, string> = new Map(
  Object.entries({
    fatal: "The receiver answered 410 Gone",
    failing_days: "Failures and no success on every day of the window",
    timeouts: "Too many timeouts in one day",
  }),
);

export function Installations({ row, place }: { row: AppRow; place: Place }) {
  const { slug } = row;
  const { feed, can } = useGround();
  const { status = "all", cursor = "", installation } = place.query;
  const filter = status === "all" ? null : status;
  const page = useLoad(`${slug} ${status} ${cursor}`, (signal) =>
    call<InstallationsOfApp>(withQuery(`v1/apps/${slug}/installations`, { status: filter, cursor, limit: 50 }), { signal }),
  );
  useEffect(
    () =>
      feed.onStatus({
        onEvent({ type, data }) {
          if (type.startsWith("integration.") && data.app === slug) page.refresh();
        },
        onGap: page.refresh,
      }),
    [page.refresh],
  );
  const [asked, setAsked] = useState<{ action: Action; installation: InstallationRow } | null>(null);
  // Null: a new installation.
  const [edited, setEdited] = useState<{ installation: InstallationRow | null } | null>(null);
  const { active, broken, disabled } = row.installations;
  const named = (page.value?.items ?? []).toSorted((a, b) => rank(a, installation) - rank(b, installation));

  return (
    <section aria-labelledby="installations">
      <div class="toolbar">
        <h2 id="installations" class="toolbar-title">
          Installations
        </h2>
        <Segments
          label="Which installations"
          value={status}
          options={[
            { value: "all", text: `All ${active + broken + disabled}` },
            { value: "active", text: `Active ${active}` },
            { value: "broken", text: `Broken ${broken}` },
            { value: "disabled", text: `Disabled ${disabled}` },
          ]}
          onChange={(next) => setQuery({ status: next === "all" ? null : next, cursor: null })}
        />
        {can.change && (
          <div class="toolbar-end">
            <button type="button" class="button" onClick={() => setEdited({ installation: null })}>
              Install
            </button>
          </div>
        )}
      </div>
      {page.error !== null && <Failed what="The installations" error={page.error} retry={page.reload} />}
      {page.value === null && page.error === null && <Loading what="the installations" />}
      {page.value !== null && named.length === 0 && (
        <Empty title={filter === null ? "The app is not installed anywhere." : `No ${filter} installations.`} />
      )}
      {row.parked_in_app_queue !== null && row.parked_in_app_queue > 0 && (
        <p class="muted">
          {counted(row.parked_in_app_queue, "delivery is", "deliveries are")} parked in the app’s own queue. The table counts only those
          that are parked because their installation is broken or disabled.
        </p>
      )}
      {named.length > 0 && (
        <Table
          class="installations"
          headings={{ Organization: "", Status: "", Installation: "wide", Parked: "right medium", Actions: "hidden" }}
        >
          <tbody>
            {named.map((one) => (
              <Row
                key={one.uuid}
                installation={one}
                isNamed={one.uuid === installation}
                ask={(action) => setAsked({ action, installation: one })}
                edit={() => setEdited({ installation: one })}
              />
            ))}
          </tbody>
        </Table>
      )}
      {(cursor !== "" || page.value?.next) && (
        <div class="pager">
          <button type="button" class="button" disabled={cursor === ""} onClick={() => setQuery({ cursor: null })}>
            First page
          </button>
          <button type="button" class="button" disabled={!page.value?.next} onClick={() => setQuery({ cursor: page.value?.next ?? null })}>
            Next page
          </button>
        </div>
      )}
      {edited !== null && <InstallationForm app={slug} {...edited} onClose={() => setEdited(null)} onDone={page.reload} />}
      {asked !== null && <Ask {...asked} onClose={() => setAsked(null)} onDone={page.reload} />}
    </section>
  );
}

/** The linked installation comes first, then those that need attention. */
function rank({ uuid, status }: InstallationRow, named: string | undefined): number {
  if (uuid === named) return 0;
  return { broken: 1, disabled: 2, active: 3 }[status];
}

interface RowProps {
  readonly installation: InstallationRow;
  readonly isNamed: boolean;
  readonly ask: (action: Action) => void;
  readonly edit: () => void;
}

function Row({ installation, isNamed, ask, edit }: RowProps) {
  const { can } = useGround();
  const { uuid, organization_id, project_ids, status, webhook_url, parked, broken } = installation;
  return (
    <tr class={isNamed ? "named" : ""}>
      <th scope="row" class="wrap">
        {can.seeAll ? <a href={hrefOf(["organizations", organization_id])}>{organization_id}</a> : organization_id}
        {project_ids.length > 0 && <span class="sub">projects {project_ids.join(", ")}</span>}
      </th>
      <td>
        <StatusPill status={status} />
        {parked !== null && parked > 0 && <span class="sub tiny-only">{counted(parked, "parked delivery", "parked deliveries")}</span>}
        {broken !== null && <BrokenWhy broken={broken} />}
      </td>
      <td class="wide">
        <span class="mono">{uuid}</span>
        {webhook_url !== null && <span class="sub mono">{webhook_url}</span>}
      </td>
      <td class="right medium numeric">{parked ?? <span class="faint">?</span>}</td>
      <td class="right">
        {can.change && (
          <span class="actions">
            {status !== "active" && parked !== null && parked > 0 && (
              <button type="button" class="button quiet small" onClick={() => ask("discard")}>
                Discard parked
              </button>
            )}
            {status === "active" ? (
              <button type="button" class="button small" onClick={() => ask("disable")}>
                Disable
              </button>
            ) : (
              <button type="button" class="button small" onClick={() => ask("enable")}>
                Enable
              </button>
            )}
            <button type="button" class="button small" onClick={edit}>
              Edit
            </button>
          </span>
        )}
      </td>
    </tr>
  );
}

export function BrokenWhy({ broken: { at, reason } }: { broken: NonNullable<InstallationRow["broken"]> }) {
  const counts =
    reason &&
    ([
      [reason.success, "success", "successes"],
      [reason.error, "error", "errors"],
      [reason.timeout, "timeout", "timeouts"],
      [reason.fatal, "fatal answer", "fatal answers"],
    ] as const);
  return (
    <div class="why">
      <p>
        {reason ? (RULE_TEXTS.get(reason.rule) ?? `Rule ${reason.rule}`) : "No reason recorded"} · <When at={at} relative />
      </p>
      {reason && counts && (
        <p class="muted">
          {counts
            .filter(([value]) => value > 0)
            .map(([value, one, many]) => counted(value, one, many))
            .join(", ")}{" "}
          in {counted(reason.window_days, "day")}
          {reason.last_error && (
            <>
              ; last: <span class="mono">{reason.last_error}</span>
            </>
          )}
        </p>
      )}
    </div>
  );
}

const ASK: Readonly<Record<Action, { title: string; action: string; isDanger: boolean; done: string }>> = {
  enable: { title: "Enable the installation?", action: "Enable", isDanger: false, done: "Enabled" },
  disable: { title: "Disable the installation?", action: "Disable", isDanger: true, done: "Disabled" },
  discard: { title: "Discard parked deliveries?", action: "Discard", isDanger: true, done: "Discarded" },
};

interface AskProps {
  readonly action: Action;
  readonly installation: Pick<InstallationRow, "uuid" | "app" | "organization_id"> & { readonly parked?: number | null };
  readonly onClose: () => void;
  readonly onDone: () => void;
}

/** Asks before the status of an installation, or its backlog, changes. */
export function Ask({ action, installation, onClose, onDone }: AskProps) {
  const say = useSay();
  const { title, action: verb, isDanger, done } = ASK[action];
  const where = <strong>organization {installation.organization_id}</strong>;
  const texts: Readonly<Record<Action, preact.ComponentChildren>> = {
    enable: <>Events of {where} are delivered again, beginning with what is parked.</>,
    disable: <>Events of {where} are parked until it is enabled again. Nothing is lost.</>,
    discard: (
      <>
        {counted(installation.parked ?? 0, "delivery", "deliveries")} for {where} go to dead letters, from where they can be replayed.
      </>
    ),
  };
  return (
    <Confirm
      title={title}
      action={verb}
      danger={isDanger}
      onClose={onClose}
      onConfirm={async () => {
        await call<{ status?: InstallationStatus }>(`v1/installations/${installation.uuid}/${action}`, { method: "POST" });
        say(`${done}: ${installation.app} in organization ${installation.organization_id}.`);
        onDone();
      }}
    >
      <p>{texts[action]}</p>
    </Confirm>
  );
}
