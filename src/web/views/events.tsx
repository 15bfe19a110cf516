/** The events of the events stream, newest first. Each leads to what became of it. */
import { useEffect } from "preact/hooks";
import type { EventPage, ListedEvent } from "../../client/api-types.generated.ts";
import { call, withQuery } from "../api.ts";
import { useGround } from "../ground.ts";
import { FilterField } from "../parts/filters.tsx";
import { Empty, Failed, Loading, sentence } from "../parts/notice.tsx";
import { Older } from "../parts/older.tsx";
import { Refresh } from "../parts/refresh.tsx";
import { Table } from "../parts/table.tsx";
import { ANY_TIME, chosenSpan, TimeFields, TimeFilter, timeKey } from "../parts/time-filter.tsx";
import { When } from "../parts/when.tsx";
import { hrefOf, type Place, setQuery } from "../routing.ts";
import { usePages } from "../use-pages.ts";

const PAGE = 50;
const NO_EVENTS: EventPage = { items: [], next: null, reaches_back_to: null };

export function EventsPage({ place: { query } }: { place: Place }) {
  const { can } = useGround();
  const { organization = "", type = "", since = "" } = query;
  const { start, end, problem } = chosenSpan(query);
  const pages = usePages<ListedEvent, EventPage>([organization, type, timeKey(query)].join(" "), async (cursor, signal) => {
    if (problem !== null) return NO_EVENTS;
    const path = withQuery("v1/events", { organization_id: organization, type, start, end, cursor, limit: PAGE });
    return call(path, signal ? { signal } : {});
  });
  const { first, last, items } = pages;
  useEffect(() => {
    document.title = "Events · Posthorn";
  }, []);
  return (
    <>
      <div class="head head-line">
        <h1 tabIndex={-1}>Events</h1>
        <Refresh of={first} class="head-action" />
      </div>
      <div class="toolbar">
        {can.seeAll && <FilterField name="organization" label="Organization" value={organization} />}
        <FilterField name="type" label="Event type" value={type} />
        <TimeFilter since={since} />
      </div>
      <TimeFields query={query} />
      {first.error !== null && <Failed what="The list of events" error={first.error} retry={first.reload} />}
      {first.value === null && first.error === null && <Loading what="the events" />}
      {first.value !== null && items.length === 0 && problem === null && (
        <Empty
          title={last?.next == null ? (organization || type || since ? "No matching events." : "No events yet.") : "None among the newest."}
        >
          {(organization || type || since) && (
            <button type="button" class="button" onClick={() => setQuery({ organization: null, type: null, ...ANY_TIME })}>
              Show all
            </button>
          )}
        </Empty>
      )}
      {items.length > 0 && <EventTable events={items} />}
      <Older of={pages} />
      {last?.reaches_back_to != null && last.next === null && (
        <p class="muted">
          The oldest event of the stream was stored at <When at={last.reaches_back_to} />.
        </p>
      )}
    </>
  );
}

function EventTable({ events }: { events: readonly ListedEvent[] }) {
  return (
    <Table class="log" time="Stored" headings={{ Event: "", Organization: "", Id: "medium" }}>
      <tbody>
        {events.map((event) => (
          <tr key={event.sequence} class="linked">
            <td class="numeric nowrap">{event.stored_at !== null && <When at={event.stored_at} bare />}</td>
            <th scope="row">
              <a class="row-link" href={hrefOf(["events", event.id], { type: event.type, source: event.source })}>
                {event.type ?? "unreadable"}
              </a>{" "}
              {event.app !== null && <span class="aside">only for {event.app}</span>}
              {event.problem !== null && <span class="aside bad">{sentence(event.problem)}</span>}
            </th>
            <td class="wrap">{event.organization_id}</td>
            <td class="medium mono faint ellipsis cell-id" title={event.id}>
              {event.id}
            </td>
          </tr>
        ))}
      </tbody>
    </Table>
  );
}
