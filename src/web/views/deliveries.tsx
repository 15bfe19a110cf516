/** Deliveries of all apps, newest first: those that wait, with the reason and the next due time, and those that are done. */
import { useEffect, useState } from "preact/hooks";
import type { DeliveryPage, ListedDelivery } from "../../client/api-types.generated.ts";
import { call, withQuery } from "../api.ts";
import { DELIVERY_STATES } from "../parts/delivery-state.ts";
import { useAction } from "../parts/dialog.tsx";
import { RefreshIcon } from "../parts/icons.tsx";
import { Empty, Failed, Loading, sentence } from "../parts/notice.tsx";
import { Pill } from "../parts/pills.tsx";
import { Segments } from "../parts/segments.tsx";
import { When } from "../parts/when.tsx";
import { hrefOf, type Place, setQuery } from "../routing.ts";
import { useLoad } from "../use-load.ts";

const PAGE = 50;

const SHOWN = [
  { value: "waiting", text: "Waiting", states: "retrying,parked,throttled" },
  { value: "delivered", text: "Delivered", states: "delivered" },
  { value: "given-up", text: "Given up", states: "dead_letter" },
  { value: "all", text: "All", states: null },
] as const;

export function DeliveriesPage({ place }: { place: Place }) {
  const shown = SHOWN.find(({ value }) => value === place.query["show"]) ?? SHOWN[0];
  const { app = "", event = "" } = place.query;
  const [older, setOlder] = useState<{ key: string; pages: readonly DeliveryPage[] }>({ key: "", pages: [] });
  const key = [shown.value, app, event].join(" ");
  const load = (cursor: string | null, signal?: AbortSignal): Promise<DeliveryPage> =>
    call<DeliveryPage>(
      withQuery("v1/deliveries", { state: shown.states, app, event_id: event, cursor, limit: PAGE }),
      signal ? { signal } : {},
    );
  const first = useLoad(key, (signal) => load(null, signal));
  const pages = older.key === key ? older.pages : [];
  const last = pages.at(-1) ?? first.value;
  const more = useAction(async () => {
    const page = await load(last?.next ?? null);
    setOlder({ key, pages: [...pages, page] });
  });
  const items = [first.value, ...pages].flatMap((page) => page?.items ?? []);
  useEffect(() => {
    document.title = "Deliveries · Posthorn";
  }, []);

  return (
    <>
      <div class="head">
        <div class="head-line">
          <h1 tabIndex={-1}>Deliveries</h1>
          <button
            type="button"
            class="button head-action"
            disabled={first.isLoading}
            onClick={() => {
              setOlder({ key: "", pages: [] });
              first.reload();
            }}
          >
            <RefreshIcon /> Refresh
          </button>
        </div>
      </div>
      <div class="toolbar">
        <Segments
          label="Which deliveries"
          value={shown.value}
          options={SHOWN}
          onChange={(value) => setQuery({ show: value === SHOWN[0].value ? null : value })}
        />
        <Filter name="app" label="App" value={app} />
        <Filter name="event" label="Event id" value={event} />
      </div>
      {first.error !== null && <Failed what="The list of deliveries" error={first.error} retry={first.reload} />}
      {first.value === null && first.error === null && <Loading what="the deliveries" />}
      {first.value !== null && items.length === 0 && (
        <Empty title={last?.next == null ? "No such deliveries." : "None among the newest."} />
      )}
      {items.length > 0 && <Table items={items} />}
      {more.error !== null && <Failed what="Older deliveries" error={more.error} retry={more.run} />}
      {last?.next != null && (
        <div class="pager">
          <button type="button" class="button" disabled={more.isRunning} onClick={more.run}>
            Show older
          </button>
        </div>
      )}
      {last?.reaches_back_to != null && shown.value !== "waiting" && (
        <p class="muted">
          Deliveries that were done before <When at={last.reaches_back_to} /> may be missing.
        </p>
      )}
      {(last?.notes ?? []).map((note) => (
        <p key={note} class="muted">
          {sentence(note)}
        </p>
      ))}
    </>
  );
}

/** Applied with Enter, or when the field is left. */
function Filter({ name, label, value }: { name: string; label: string; value: string }) {
  const apply = (text: string): void => {
    if (text.trim() !== value) setQuery({ [name]: text.trim() === "" ? null : text.trim() });
  };
  return (
    <input
      key={value}
      name={name}
      aria-label={label}
      placeholder={label}
      defaultValue={value}
      spellcheck={false}
      autocomplete="off"
      onBlur={(event) => apply(event.currentTarget.value)}
      onKeyDown={(event) => {
        if (event.key === "Enter") apply(event.currentTarget.value);
      }}
    />
  );
}

function Table({ items }: { items: readonly ListedDelivery[] }) {
  return (
    <div class="card table-frame">
      <table class="log">
        <thead>
          <tr>
            <th scope="col">Time</th>
            <th scope="col">Event</th>
            <th scope="col">State</th>
            <th scope="col" class="medium">
              App
            </th>
            <th scope="col" class="medium">
              Next attempt
            </th>
            <th scope="col" class="wide">
              Delivery
            </th>
          </tr>
        </thead>
        <tbody>
          {items.map((item) => (
            <tr key={item.delivery_id} class="linked">
              <td class="numeric nowrap">
                <When at={item.at} />
              </td>
              <th scope="row">
                <a class="row-link" href={hrefOf(["deliveries", item.delivery_id])}>
                  {item.event_type}
                </a>
                <span class="sub ellipsis">{sentence(item.detail)}</span>
              </th>
              <td>
                <Pill {...DELIVERY_STATES[item.state]} />
              </td>
              <td class="medium">{item.app}</td>
              <td class="medium numeric nowrap">{item.next_attempt_at === null ? "–" : <When at={item.next_attempt_at} />}</td>
              <td class="wide mono faint">{item.delivery_id.slice(0, 12)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
