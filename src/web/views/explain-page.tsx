/** Explains an event: its data, who wanted it, who did not and why, and the way of each delivery. */
import { useEffect } from "preact/hooks";
import type { DeliveryAnswer, EventAnswer, EventOfSameId, ExplainedEvent } from "../../client/api-types.generated.ts";
import { request, withQuery } from "../api.ts";
import { useGround } from "../ground.ts";
import { memberText } from "../json-member.ts";
import { layOutJson } from "../json-text.ts";
import { JsonTokens } from "../parts/body-view.tsx";
import { Code } from "../parts/code.tsx";
import { Copyable } from "../parts/copy.tsx";
import { Facts, TraceId } from "../parts/facts.tsx";
import { Failed, Loading, Notes, sentence } from "../parts/notice.tsx";
import { Refresh } from "../parts/refresh.tsx";
import { When } from "../parts/when.tsx";
import { hrefOf, type Place, setQuery } from "../routing.ts";
import { useLoad } from "../use-load.ts";
import { DeliveryWay } from "./delivery-way.tsx";

interface Read<T> {
  readonly answer: T;
  /** The text of the event's data, so that its numbers keep their digits; null: it is gone. */
  readonly dataText: string | null;
}

async function read<T>(path: string, signal: AbortSignal): Promise<Read<T>> {
  const text = await (await request(path, { signal })).text();
  const data = memberText(memberText(text, "event") ?? "", "data");
  return { answer: JSON.parse(text) as T, dataText: data === "null" ? null : data };
}

export function EventPage({ id, place }: { id: string; place: Place }) {
  const { type, source, app } = place.query;
  const path = withQuery(`v1/events/${encodeURIComponent(id)}`, { type, source, app });
  const { value, error, isLoading, reload } = useLoad(path, (signal) => read<EventAnswer>(path, signal));
  useEffect(() => {
    document.title = `${id} · Posthorn`;
  }, [id]);
  return (
    <>
      <Head title={value?.answer.event.type ?? "Event"} id={id} isLoading={isLoading} reload={reload} />
      {error !== null && <Failed what="The event" error={error} retry={reload} />}
      {value === null && error === null && <Loading what="the event" />}
      {value !== null && (
        <>
          <EventFacts event={value.answer.event} dataText={value.dataText} />
          <WhyNot app={app ?? ""} />
          <Deliveries of={value.answer} reload={reload} />
          <NotWanted of={value.answer} />
          <Others others={value.answer.others} />
          <Notes notes={value.answer.notes} />
        </>
      )}
    </>
  );
}

export function DeliveryPage({ id }: { id: string }) {
  const path = `v1/deliveries/${encodeURIComponent(id)}`;
  const { value, error, isLoading, reload } = useLoad(path, (signal) => read<DeliveryAnswer>(path, signal));
  useEffect(() => {
    document.title = `${id} · Posthorn`;
  }, [id]);
  const event = value?.answer.event ?? null;
  return (
    <>
      <Head title="Delivery" id={id} isLoading={isLoading} reload={reload} />
      {error !== null && <Failed what="The delivery" error={error} retry={reload} />}
      {value === null && error === null && <Loading what="the delivery" />}
      {value !== null && (
        <>
          <DeliveryWay delivery={value.answer.delivery} onChange={reload} />
          {event !== null && <EventFacts event={event} dataText={value.dataText} withLink />}
          <Notes notes={value.answer.notes} />
        </>
      )}
    </>
  );
}

function Head({ title, id, isLoading, reload }: { title: string; id: string; isLoading: boolean; reload: () => void }) {
  return (
    <div class="head">
      <div class="head-line">
        <h1 tabIndex={-1}>{title}</h1>
        <Refresh of={{ isLoading, reload }} class="head-action" />
      </div>
      <p class="head-sub mono wrap">{id}</p>
    </div>
  );
}

const STAGES = { waiting: "Waits in the stream", taken: "Being handled", handled: "Handled" } as const;

function EventFacts({ event, dataText, withLink = false }: { event: ExplainedEvent; dataText: string | null; withLink?: boolean }) {
  const { id, type, source, stored_at, occurred_at, stage, trace_id } = event;
  return (
    <section class="card explained-event" aria-label="Event">
      <Facts
        facts={[
          ["Event", withLink ? <a href={hrefOf(["events", id], { type, source })}>{id}</a> : <Copyable value={id} label="event id" />],
          ["Type", withLink ? type : null],
          ["Source", source],
          ["Organization", event.organization_id],
          ["Project", event.project_id],
          ["For app", event.app],
          ["Occurred", occurred_at && <When at={occurred_at} />],
          ["Stored", stored_at && <When at={stored_at} />],
          ["Sequence", event.sequence],
          ["Stage", stage && STAGES[stage]],
          ["Trace", trace_id && <TraceId id={trace_id} />],
        ]}
      />
      <EventData text={dataText} />
    </section>
  );
}

function EventData({ text }: { text: string | null }) {
  const layout = text === null ? null : layOutJson(text);
  return (
    <section class="detail-section" aria-label="Data">
      <h2>Data</h2>
      {text === null ? (
        <p class="muted">The event is no longer stored.</p>
      ) : (
        <Code label="Data">{layout === null ? text : <JsonTokens layout={layout} />}</Code>
      )}
    </section>
  );
}

/** Asks about one app, which may not be installed, or not exist. */
function WhyNot({ app }: { app: string }) {
  const { can } = useGround();
  if (!can.seeAll) return null;
  return (
    <form
      class="toolbar"
      onSubmit={(event) => {
        event.preventDefault();
        const given = String(new FormData(event.currentTarget).get("app") ?? "").trim();
        setQuery({ app: given === "" ? null : given });
      }}
    >
      <input
        name="app"
        aria-label="App"
        placeholder="Only one app…"
        class="mono"
        key={app}
        defaultValue={app}
        spellcheck={false}
        autocomplete="off"
      />
      <button type="submit" class="button">
        Explain for this app
      </button>
      {app !== "" && (
        <button type="button" class="button quiet" onClick={() => setQuery({ app: null })}>
          Show all apps
        </button>
      )}
    </form>
  );
}

function Deliveries({ of: { deliveries, event }, reload }: { of: EventOfSameId; reload: () => void }) {
  return (
    <section aria-label="Deliveries">
      <h2>Deliveries</h2>
      {deliveries.length === 0 && (
        <p class="muted">
          {event.stage === "waiting" ? "No replica has taken the event yet." : "No installation is known to have wanted the event."}
        </p>
      )}
      {deliveries.map((delivery) => (
        <DeliveryWay key={delivery.delivery_id} delivery={delivery} onChange={reload} />
      ))}
    </section>
  );
}

function NotWanted({ of: { not_wanted: notWanted } }: { of: EventOfSameId }) {
  if (notWanted.length === 0) return null;
  return (
    <section aria-label="Not delivered to">
      <h2>Not delivered to</h2>
      <ul class="card found">
        {notWanted.map(({ app, installation_uuid: uuid, detail }) => (
          <li key={`${app} ${uuid}`}>
            <span class="found-what">
              {uuid === null ? <strong>{app}</strong> : <a href={hrefOf(["installations", uuid])}>{app}</a>}
              <span>{sentence(detail)}</span>
            </span>
          </li>
        ))}
      </ul>
    </section>
  );
}

/** Events of other types or sources that have the same id. */
function Others({ others }: { others: readonly EventOfSameId[] }) {
  if (others.length === 0) return null;
  return (
    <section aria-label="Other events with this id">
      <h2>Other events with this id</h2>
      <ul class="card found">
        {others.map(({ event: { id, type, source, stored_at }, deliveries }) => (
          <li key={`${type} ${source}`}>
            <span class="found-what">
              <a href={hrefOf(["events", id], { type, source })}>{type ?? id}</a>
              <span class="muted">
                {source === null ? "" : `from ${source}, `}
                {deliveries.length} {deliveries.length === 1 ? "delivery" : "deliveries"}
              </span>
            </span>
            {stored_at !== null && (
              <span class="muted numeric found-time">
                <When at={stored_at} />
              </span>
            )}
          </li>
        ))}
      </ul>
    </section>
  );
}
