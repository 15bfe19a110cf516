/** Status changes of integrations, circuits and deliveries, newest first. */
import { useEffect, useRef, useState } from "preact/hooks";
import type { StatusEventPage } from "../../client/api-types.generated.ts";
import { describeStatus, topicOf } from "../../client/status-texts.ts";
import { call, withQuery } from "../api.ts";
import { day, shownAt } from "../format.ts";
import { useGround } from "../ground.ts";
import { Empty, Failed, Loading } from "../parts/notice.tsx";
import { Older } from "../parts/older.tsx";
import { Segments } from "../parts/segments.tsx";
import { When, Zone } from "../parts/when.tsx";
import { hrefOf, type Place, setQuery } from "../routing.ts";
import { useNow } from "../use-now.ts";
import { usePages } from "../use-pages.ts";
import type { StatusEventItem } from "../wire.ts";
import { Changes } from "./changes.tsx";

const PAGE = 50;
/** The API's longest page. */
const LONGEST_PAGE = 1_000;
/** The list is read again after so many pushed events, so that earlier ones need not be kept. */
const PUSHED_PER_READ = 250;

/** Dead letters have a view of their own; there can be so many that they would hide the other changes. */
const SHOWN = [
  { value: "status", text: "Status", topics: "integration,circuit,app" },
  { value: "integrations", text: "Integrations", topics: "integration" },
  { value: "app", text: "App", topics: "app,circuit" },
  { value: "deliveries", text: "Given up", topics: "delivery" },
  { value: "changes", text: "Changes", topics: "" },
] as const;

export function TimelinePage({ place }: { place: Place }) {
  useEffect(() => {
    document.title = "Timeline · Posthorn";
  }, []);
  return (
    <>
      <div class="head">
        <h1 tabIndex={-1}>Timeline</h1>
        <p class="head-sub">Status changes of the last 30 days, as published on the bus.</p>
      </div>
      <Timeline app={null} place={place} />
    </>
  );
}

/** @param app null: all apps */
export function Timeline({ app, place }: { app: string | null; place: Place }) {
  const shown = SHOWN.find(({ value }) => value === place.query["show"]) ?? SHOWN[0];
  return (
    <>
      <div class="toolbar">
        <Segments
          label="Which changes"
          value={shown.value}
          options={SHOWN}
          onChange={(value) => setQuery({ show: value === SHOWN[0].value ? null : value })}
        />
      </div>
      {shown.value === "changes" ? <Changes app={app} /> : <StatusEvents key={shown.value} app={app} shown={shown} />}
    </>
  );
}

function StatusEvents({ app, shown }: { app: string | null; shown: (typeof SHOWN)[number] }) {
  const { onStatus } = useGround().feed;
  const [pushed, setPushed] = useState<readonly StatusEventItem[]>([]);
  const received = useRef(0);
  const count = useRef(0);
  // The first page is read again after a gap, with as many events as are shown.
  const { first, last, items, more } = usePages<StatusEventItem, StatusEventPage>(`${app} ${shown.topics}`, (cursor, signal) => {
    const limit = cursor === null ? Math.min(Math.max(PAGE, count.current), LONGEST_PAGE) : PAGE;
    return call(withQuery("v1/status-events", { app, topics: shown.topics, cursor, limit }), signal ? { signal } : {});
  });
  useEffect(
    () =>
      onStatus({
        onEvent(event) {
          if (!shown.topics.split(",").includes(topicOf(event.type)) || (app !== null && event.data.app !== app)) return;
          setPushed((before) => [event, ...before].slice(0, 2 * PUSHED_PER_READ));
          if (++received.current % PUSHED_PER_READ === 0) first.refresh();
        },
        onGap: first.refresh,
      }),
    [onStatus, first.refresh],
  );

  // When more events were missed than are read again, earlier ones belong to a page that is not loaded.
  const oldest = last === null || last.next === null ? null : (items.at(-1)?.time ?? null);
  const known = [...pushed.filter(({ time }) => oldest === null || Date.parse(time) >= Date.parse(oldest)), ...items];
  const events = [...new Map(known.map((event) => [event.id, event])).values()];
  count.current = events.length;

  return (
    <>
      {first.error !== null && <Failed what="The timeline" error={first.error} retry={first.reload} />}
      {first.value === null && first.error === null && <Loading what="the timeline" />}
      {first.value !== null && events.length === 0 && <Empty title="No status changes in the last 30 days." />}
      {events.length > 0 && (
        <div class="card timeline">
          {byDay(events).map(([title, ofDay]) => (
            <section key={title} aria-label={title}>
              <h2>
                {title} <Zone />
              </h2>
              <ol>
                {ofDay.map((event) => (
                  <Item key={event.id} event={event} withApp={app === null} />
                ))}
              </ol>
            </section>
          ))}
        </div>
      )}
      <Older of={{ last, more }} />
    </>
  );
}

function Item({ event, withApp }: { event: StatusEventItem; withApp: boolean }) {
  const { kind, title, detail } = describeStatus(event, shownAt(useNow()).time);
  const { app, organization_id: organization, installation_uuid: installation } = event.data;
  return (
    <li>
      <span class={`event-dot event-${kind}`} aria-hidden="true" />
      <p class="event-title">
        <strong>{title}</strong>
        {withApp && (
          <>
            {" "}
            <a href={hrefOf(["apps", app], typeof installation === "string" ? { installation } : {})}>{app}</a>
          </>
        )}
        {typeof organization === "string" && <span class="muted"> in organization {organization}</span>}
        <span class="event-time numeric muted">
          <When at={event.time} bare />
        </span>
      </p>
      {detail !== "" && <p class="muted event-detail">{detail}</p>}
    </li>
  );
}

function byDay(events: readonly StatusEventItem[]): Array<[string, StatusEventItem[]]> {
  const sorted = [...events].sort((a, b) => Date.parse(b.time) - Date.parse(a.time));
  return [...Map.groupBy(sorted, ({ time }) => day(Date.parse(time)))];
}
