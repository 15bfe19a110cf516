/** Deliveries, newest first: those that wait, with the reason and the next due time, and those that are done. */
import { useEffect } from "preact/hooks";
import type { DeliveryPage, ListedDelivery } from "../../client/api-types.generated.ts";
import { call, withQuery } from "../api.ts";
import { useGround } from "../ground.ts";
import { OUTCOME_OPTIONS } from "../outcomes.ts";
import { FilterField, FilterSelect, MoreFilters } from "../parts/filters.tsx";
import { Empty, Failed, Loading, Notes } from "../parts/notice.tsx";
import { Older } from "../parts/older.tsx";
import { Refresh } from "../parts/refresh.tsx";
import { Segments } from "../parts/segments.tsx";
import { chosenSpan, TimeFields, TimeFilter, timeKey } from "../parts/time-filter.tsx";
import { When } from "../parts/when.tsx";
import { type Place, setQuery } from "../routing.ts";
import { usePages } from "../use-pages.ts";
import { DeliveryTable } from "./delivery-table.tsx";

const PAGE = 50;
const NO_DELIVERIES: DeliveryPage = { items: [], next: null, reaches_back_to: null, notes: [] };

const SHOWN = [
  { value: "waiting", text: "Waiting", states: "retrying,parked,throttled" },
  { value: "retrying", text: "Retrying", states: "retrying" },
  { value: "parked", text: "Parked", states: "parked" },
  { value: "throttled", text: "Throttled", states: "throttled" },
  { value: "delivered", text: "Delivered", states: "delivered" },
  { value: "given-up", text: "Given up", states: "dead_letter" },
  { value: "all", text: "All", states: null },
] as const;

export function DeliveriesPage({ place: { query } }: { place: Place }) {
  const shown = SHOWN.find(({ value }) => value === query["show"]) ?? SHOWN[0];
  const { app = "", event = "", installation = "", outcome = "", code = "" } = query;
  const { start, end, problem } = chosenSpan(query);
  const key = [shown.value, app, event, installation, outcome, code, timeKey(query)].join(" ");
  const pages = usePages<ListedDelivery, DeliveryPage>(key, async (cursor, signal) => {
    if (problem !== null) return NO_DELIVERIES;
    const filter = { state: shown.states, app, event_id: event, installation_uuid: installation, outcome, response_code: code, start, end };
    return call(withQuery("v1/deliveries", { ...filter, cursor, limit: PAGE }), signal ? { signal } : {});
  });
  const { first, last, items } = pages;
  useEffect(() => {
    document.title = "Deliveries · Posthorn";
  }, []);

  return (
    <>
      <div class="head head-line">
        <h1 tabIndex={-1}>Deliveries</h1>
        <Refresh of={first} class="head-action" />
      </div>
      <DeliveryFilters query={query} shown={shown.value} />
      {first.error !== null && <Failed what="The list of deliveries" error={first.error} retry={first.reload} />}
      {first.value === null && first.error === null && <Loading what="the deliveries" />}
      {first.value !== null && items.length === 0 && problem === null && (
        <Empty title={last?.next == null ? "No such deliveries." : "None among the newest."} />
      )}
      {items.length > 0 && <DeliveryTable deliveries={items} />}
      <Older of={pages} />
      {last?.reaches_back_to != null && !["waiting", "retrying", "parked", "throttled"].includes(shown.value) && (
        <p class="muted">
          Deliveries that were done before <When at={last.reaches_back_to} /> may be missing.
        </p>
      )}
      <Notes notes={last?.notes ?? []} />
    </>
  );
}

function DeliveryFilters({ query, shown }: { query: Place["query"]; shown: (typeof SHOWN)[number]["value"] }) {
  const { feed, session } = useGround();
  const { app = "", event = "", installation = "", outcome = "", code = "", since = "" } = query;
  return (
    <>
      <Segments
        label="Which deliveries"
        value={shown}
        options={SHOWN}
        onChange={(value) => setQuery({ show: value === SHOWN[0].value ? null : value })}
      />
      <div class="toolbar">
        {session.app === null && (
          <FilterField name="app" label="App" value={app} choices={feed.live.state === "ready" ? [...feed.live.apps.keys()] : []} />
        )}
        <FilterField name="event" label="Event id" value={event} />
        <TimeFilter since={since} />
        <MoreFilters isInUse={Boolean(installation || outcome || code)}>
          <FilterSelect name="outcome" label="Outcome" value={outcome} options={OUTCOME_OPTIONS} />
          <FilterField name="code" label="Response code" value={code} />
          <FilterField name="installation" label="Installation" value={installation} />
        </MoreFilters>
      </div>
      <TimeFields query={query} />
    </>
  );
}
