/** An organization: its installations, and links that sign in to this page. */
import { useEffect, useState } from "preact/hooks";
import type { Installation, InstallationPage, IntegrationHealth } from "../../client/api-types.generated.ts";
import { call, withQuery } from "../api.ts";
import { useGround } from "../ground.ts";
import { Empty, Failed, Loading } from "../parts/notice.tsx";
import { StatusPill } from "../parts/pills.tsx";
import { Refresh } from "../parts/refresh.tsx";
import { Table } from "../parts/table.tsx";
import { hrefOf } from "../routing.ts";
import { useLoad } from "../use-load.ts";
import { InstallationForm } from "./installation-form.tsx";
import { Ask, BrokenWhy } from "./installations.tsx";
import { PortalLink } from "./portal-link.tsx";
import { SendAgain } from "./send-again.tsx";

const PAGE = 1000;

/** @param app the app that a link leads to */
export function OrganizationPage({ id, app }: { id: string; app: string | null }) {
  const { can } = useGround();
  const [sent, setSent] = useState<Installation | null>(null);
  const page = useLoad("installations", (signal) =>
    call<InstallationPage>(withQuery("v1/installations", { organization_id: id, limit: PAGE }), { signal }),
  );
  const [asked, setAsked] = useState<Installation | null>(null);
  const [edited, setEdited] = useState<Installation | null>(null);
  useEffect(() => {
    document.title = `Organization ${id} · Posthorn`;
  }, [id]);
  const installations = page.value?.items ?? [];
  return (
    <>
      <div class="head">
        <div class="head-line">
          <h1 tabIndex={-1}>Organization {id}</h1>
          <Refresh of={page} class="head-action" />
        </div>
        <p class="head-sub">The apps that are installed in this organization.</p>
      </div>
      {page.error !== null && <Failed what="The installations" error={page.error} retry={page.reload} />}
      {page.value === null && page.error === null && <Loading what="the installations" />}
      {page.value !== null && installations.length === 0 && <Empty title="No app is installed in this organization." />}
      {installations.length > 0 && (
        <Table class="installations" headings={{ App: "", Status: "", Installation: "wide", Actions: "hidden" }}>
          <tbody>
            {installations.map((installation) => (
              <tr key={installation.uuid} class={installation.app === app ? "named" : ""}>
                <th scope="row">
                  {can.seeAll ? <a href={hrefOf(["apps", installation.app])}>{installation.app}</a> : installation.app}
                  {installation.project_ids.length > 0 && <span class="sub">projects {installation.project_ids.join(", ")}</span>}
                </th>
                <td>
                  <StatusPill status={installation.status} />
                  {installation.status === "broken" && <Why uuid={installation.uuid} />}
                </td>
                <td class="wide">
                  <span class="mono">{installation.uuid}</span>
                  {installation.webhook_url !== null && <span class="sub mono">{installation.webhook_url}</span>}
                </td>
                <td class="right">
                  <span class="actions">
                    {can.replay && (
                      <button type="button" class="button small" onClick={() => setSent(installation)}>
                        Send again
                      </button>
                    )}
                    {can.manage && (
                      <>
                        <button type="button" class="button small" onClick={() => setAsked(installation)}>
                          {installation.status === "active" ? "Disable" : "Enable"}
                        </button>
                        <button type="button" class="button small" onClick={() => setEdited(installation)}>
                          Edit
                        </button>
                      </>
                    )}
                  </span>
                </td>
              </tr>
            ))}
          </tbody>
        </Table>
      )}
      {can.change && <PortalLink owner={{ organization_id: id }} />}
      {sent !== null && <SendAgain slug={sent.app} installation={sent.uuid} onClose={() => setSent(null)} />}
      {edited !== null && <InstallationForm app={edited.app} installation={edited} onClose={() => setEdited(null)} onDone={page.reload} />}
      {asked !== null && (
        <Ask
          action={asked.status === "active" ? "disable" : "enable"}
          installation={asked}
          onClose={() => setAsked(null)}
          onDone={page.reload}
        />
      )}
    </>
  );
}

function Why({ uuid }: { uuid: string }) {
  const { value } = useLoad(uuid, (signal) => call<IntegrationHealth>(`v1/installations/${uuid}/health`, { signal }));
  return value?.broken == null ? null : <BrokenWhy broken={value.broken} />;
}
