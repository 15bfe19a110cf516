/** The search box of the header, and what a search has found. */
import { useEffect, useState } from "preact/hooks";
import type { Found, FoundItem } from "../../client/api-types.generated.ts";
import { call, withQuery } from "../api.ts";
import { useGround } from "../ground.ts";
import { SearchIcon } from "../parts/icons.tsx";
import { Empty, Failed, Loading, Notes } from "../parts/notice.tsx";
import { Pill } from "../parts/pills.tsx";
import { When } from "../parts/when.tsx";
import { hrefOf, type Place } from "../routing.ts";
import { useLoad } from "../use-load.ts";

const KINDS: Readonly<Record<FoundItem["kind"], string>> = {
  app: "App",
  organization: "Organization",
  installation: "Installation",
  event: "Event",
  delivery: "Delivery",
};

export function SearchBox({ place }: { place: Place }) {
  const asked = place.parts[0] === "find" ? (place.query["q"] ?? "") : "";
  const [text, setText] = useState(asked);
  useEffect(() => setText(asked), [asked]);
  return (
    <search class="find-box">
      <form
        class="search"
        onSubmit={(event) => {
          event.preventDefault();
          if (text.trim() !== "") location.hash = hrefOf(["find"], { q: text.trim() });
        }}
      >
        <SearchIcon />
        <input
          type="search"
          name="q"
          aria-label="Find an event, delivery, trace, installation, organization or app"
          placeholder="Find by id…"
          autocomplete="off"
          spellcheck={false}
          value={text}
          onInput={(event) => setText(event.currentTarget.value)}
        />
      </form>
    </search>
  );
}

export function FindPage({ place }: { place: Place }) {
  const { session } = useGround();
  // An app's token finds an organization because of its own installations there.
  const hasPage = ({ kind }: FoundItem): boolean => kind !== "organization" || session.app === null;
  const q = place.query["q"] ?? "";
  const { value, error, reload } = useLoad(q, (signal) => call<Found>(withQuery("v1/find", { q }), { signal }));
  const [only, ...others] = value?.items ?? [];
  useEffect(() => {
    document.title = "Find · Posthorn";
  }, []);
  useEffect(() => {
    if (only !== undefined && others.length === 0 && hasPage(only)) location.replace(only.page);
  }, [value]);
  return (
    <>
      <div class="head">
        <h1 tabIndex={-1}>Find</h1>
        <p class="head-sub">
          Results for <span class="mono wrap">{q}</span>
        </p>
      </div>
      {error !== null && <Failed what="The search" error={error} retry={reload} />}
      {value === null && error === null && <Loading what="the results" />}
      {value !== null && value.items.length === 0 && (
        <Empty title="Nothing found.">
          <Notes notes={value.notes} />
        </Empty>
      )}
      {value !== null && value.items.length > 0 && (
        <>
          <ul class="card found">
            {value.items.map((item) => (
              <Result key={item.page} item={item} isLink={hasPage(item)} />
            ))}
          </ul>
          <Notes notes={value.notes} />
        </>
      )}
    </>
  );
}

function Result({ item: { kind, id, detail, at, page }, isLink }: { item: FoundItem; isLink: boolean }) {
  return (
    <li>
      <Pill kind="plain" text={KINDS[kind]} />
      <span class="found-what">
        {isLink ? (
          <a class="mono" href={page}>
            {id}
          </a>
        ) : (
          <span class="mono">{id}</span>
        )}
        <span class="muted">{detail}</span>
      </span>
      {at !== null && (
        <span class="muted numeric found-time">
          <When at={at} />
        </span>
      )}
    </li>
  );
}
