/** One app: its head and its tabs. */
import { useEffect, useState } from "preact/hooks";
import type { App } from "../../client/api-types.generated.ts";
import { call } from "../api.ts";
import { shortCount } from "../format.ts";
import { useGround } from "../ground.ts";
import { Copyable } from "../parts/copy.tsx";
import { Empty, Failed, Loading, Note } from "../parts/notice.tsx";
import { ConditionPill } from "../parts/pills.tsx";
import { ScrollingNav } from "../parts/scrolling-nav.tsx";
import { hrefOf, type Place } from "../routing.ts";
import { useLoad } from "../use-load.ts";
import { AppActions } from "./app-actions.tsx";
import { AppOverview } from "./app-overview.tsx";
import { AppSettings } from "./app-settings.tsx";
import { AppStateLine } from "./app-state-line.tsx";
import { DeadLetters } from "./dead-letters.tsx";
import { RequestLog } from "./request-log.tsx";
import { SendAgain } from "./send-again.tsx";
import { TestEvent } from "./test-event.tsx";
import { Timeline } from "./timeline.tsx";

const TABS = [
  { part: "", text: "Overview" },
  { part: "requests", text: "Requests" },
  { part: "dead-letters", text: "Dead letters" },
  { part: "timeline", text: "Timeline" },
  { part: "settings", text: "Settings" },
] as const;

/** An app that was just created comes with the next overview. */
function NotInOverview({ slug }: { slug: string }) {
  const { value, error, reload } = useLoad(slug, (signal) => call<App>(`v1/apps/${encodeURIComponent(slug)}`, { signal }));
  if (error !== null && error.status !== 404) return <Failed what="The app" error={error} retry={reload} />;
  if (value !== null || error === null) return <Loading what="the app" />;
  return (
    <Note kind="bad">
      There is no app <strong>{slug}</strong>. <a href="#/">Show all apps</a>
    </Note>
  );
}

export function AppPage({ slug, place }: { slug: string; place: Place }) {
  const { feed, can } = useGround();
  const { live } = feed;
  const [isTesting, setTesting] = useState(false);
  const [isSendingAgain, setSendingAgain] = useState(false);
  const row = live.state === "ready" ? (live.apps.get(slug) ?? null) : null;
  const tab = place.parts[2] ?? "";
  useEffect(() => {
    document.title = `${row?.name ?? slug} · Posthorn`;
  }, [row?.name, slug]);

  if (live.state === "loading") return <Loading what="the app" />;
  if (live.state === "failed") return <Failed what="The app" error={live.error} />;
  if (row === null) return <NotInOverview slug={slug} />;
  return (
    <>
      <div class="head">
        {can.seeAll && (
          <nav class="crumbs" aria-label="Breadcrumb">
            <a href="#/">Apps</a> <span aria-hidden="true">/</span>
          </nav>
        )}
        <div class="head-line">
          <h1 tabIndex={-1}>{row.name}</h1>
          <ConditionPill row={row} />
          {can.test && (
            <div class="head-actions">
              <AppActions row={row} />
              {can.replay && (
                <button type="button" class="button" onClick={() => setSendingAgain(true)}>
                  Send again
                </button>
              )}
              <button type="button" class="button primary" onClick={() => setTesting(true)}>
                Send test event
              </button>
            </div>
          )}
        </div>
        <p class="head-sub">
          {row.slug !== row.name && <span class="mono">{row.slug}</span>}
          <Copyable value={row.webhook_url} label="webhook URL" />
        </p>
      </div>
      <AppStateLine row={row} />
      <ScrollingNav class="tabs" current={tab} label={`About ${row.name}`}>
        {TABS.map(({ part, text }) => (
          <a key={part} href={hrefOf(["apps", slug, ...(part === "" ? [] : [part])])} aria-current={part === tab ? "page" : undefined}>
            {text}
            {part === "dead-letters" && row.dead_letters !== null && row.dead_letters > 0 && (
              <span class="badge">{shortCount(row.dead_letters)}</span>
            )}
          </a>
        ))}
      </ScrollingNav>
      {tab === "" && <AppOverview row={row} place={place} />}
      {tab === "requests" && <RequestLog row={row} place={place} />}
      {tab === "dead-letters" && <DeadLetters app={slug} place={place} />}
      {tab === "timeline" && <Timeline app={slug} place={place} />}
      {tab === "settings" && <AppSettings slug={slug} />}
      {!TABS.some(({ part }) => part === tab) && <Empty title="Page not found." />}
      {isSendingAgain && <SendAgain slug={slug} onClose={() => setSendingAgain(false)} />}
      {isTesting && <TestEvent slug={slug} onClose={() => setTesting(false)} />}
    </>
  );
}
