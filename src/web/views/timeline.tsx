/** Status changes of integrations, circuits and deliveries, newest first. */
import type { RefObject } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { describeStatus } from "../../client/status-texts.ts";
import { day, shownAt } from "../format.ts";
import { useGround } from "../ground.ts";
import { Empty, Failed, Loading } from "../parts/notice.tsx";
import { Older } from "../parts/older.tsx";
import { Refresh } from "../parts/refresh.tsx";
import { Segments } from "../parts/segments.tsx";
import { When, Zone } from "../parts/when.tsx";
import { hrefOf, type Place, setQuery } from "../routing.ts";
import { useNow } from "../use-now.ts";
import { useStatusEvents } from "../use-status-events.ts";
import type { StatusEventItem } from "../wire.ts";
import { Changes } from "./changes.tsx";

/** Dead letters have a view of their own; there can be so many that they would hide the other changes. */
const SHOWN = [
  { value: "status", text: "Status", topics: "integration,circuit,app" },
  { value: "integrations", text: "Integrations", topics: "integration" },
  { value: "app", text: "App", topics: "app,circuit" },
  { value: "deliveries", text: "Given up", topics: "delivery" },
  { value: "changes", text: "Changes", topics: "" },
] as const;

/** Apps and circuits belong to no organization, and integrations are all that is left of the status. */
const NOT_OF_ORGANIZATIONS: ReadonlySet<string> = new Set(["app", "integrations"]);

export function TimelinePage({ place }: { place: Place }) {
  useEffect(() => {
    document.title = "Timeline · Posthorn";
  }, []);
  return (
    <>
      <div class="head">
        <h1 tabIndex={-1}>Timeline</h1>
        <p class="head-sub">Status changes of the last 30 days, and changes made to apps and installations in the last 400.</p>
      </div>
      <Timeline app={null} place={place} />
    </>
  );
}

/** @param app null: all apps */
export function Timeline({ app, place }: { app: string | null; place: Place }) {
  const { session } = useGround();
  const options = session.organization_id === null ? SHOWN : SHOWN.filter(({ value }) => !NOT_OF_ORGANIZATIONS.has(value));
  const shown = options.find(({ value }) => value === place.query["show"]) ?? SHOWN[0];
  const reload = useRef(() => {});
  // Changes are not pushed, and nothing is pushed to an organization.
  const isPushed = shown.value !== "changes" && session.organization_id === null;
  return (
    <>
      <div class="toolbar">
        <Segments
          label="Which changes"
          value={shown.value}
          options={options}
          onChange={(value) => setQuery({ show: value === SHOWN[0].value ? null : value })}
        />
        {!isPushed && <Refresh of={{ isLoading: false, reload: () => reload.current() }} class="toolbar-end" />}
      </div>
      {shown.value === "changes" ? (
        <Changes app={app} reload={reload} />
      ) : (
        <StatusEvents key={shown.value} app={app} topics={shown.topics} reload={reload} />
      )}
    </>
  );
}

interface StatusEventsProps {
  readonly app: string | null;
  readonly topics: string;
  readonly reload: RefObject<() => void>;
}

function StatusEvents({ app, topics, reload }: StatusEventsProps) {
  const { newest, events, last, more } = useStatusEvents(app, topics);
  reload.current = newest.reload;
  return (
    <>
      {newest.error !== null && <Failed what="The timeline" error={newest.error} retry={newest.reload} />}
      {newest.value === null && newest.error === null && <Loading what="the timeline" />}
      {newest.value !== null && events.length === 0 && <Empty title="No status changes in the last 30 days." />}
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
  const { session } = useGround();
  const { app, organization_id: organization, installation_uuid: installation, delivery_id: delivery } = event.data;
  return (
    <li>
      <span class={`event-dot event-${kind}`} aria-hidden="true" />
      <p class="event-title">
        <span>
          <strong>{typeof delivery === "string" ? <a href={hrefOf(["deliveries", delivery])}>{title}</a> : title}</strong>
          {withApp && (
            <>
              {" "}
              <a href={hrefOf(["apps", app], typeof installation === "string" ? { installation } : {})}>{app}</a>
            </>
          )}
          {typeof organization === "string" && organization !== session.organization_id && (
            <span class="muted"> in organization {organization}</span>
          )}
        </span>
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
