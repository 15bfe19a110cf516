/** The page around the views: sign-in, the header, and sources that can't be read now. */
import { useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import type { Session } from "../client/api-types.generated.ts";
import { call, token } from "./api.ts";
import { type Ground, GroundContext } from "./ground.ts";
import { Header } from "./header.tsx";
import { type LiveState, useLive } from "./live.ts";
import { WarningIcon } from "./parts/icons.tsx";
import { Empty, Failed, Loading, sentence } from "./parts/notice.tsx";
import { ToastArea } from "./parts/toast.tsx";
import { hrefOf, type Place, usePlace } from "./routing.ts";
import { useLoad } from "./use-load.ts";
import { AppPage } from "./views/app-page.tsx";
import { Apps } from "./views/apps.tsx";
import { DeadLettersPage } from "./views/dead-letters.tsx";
import { DeliveriesPage } from "./views/deliveries.tsx";
import { EventsPage } from "./views/events.tsx";
import { DeliveryPage, EventPage } from "./views/explain-page.tsx";
import { FindPage } from "./views/find.tsx";
import { FindInstallation } from "./views/find-installation.tsx";
import { NewApp } from "./views/new-app.tsx";
import { OrganizationPage } from "./views/organization.tsx";
import { SignIn } from "./views/sign-in.tsx";
import { SystemPage } from "./views/system.tsx";
import { TimelinePage } from "./views/timeline.tsx";
import { zone } from "./zone.ts";

export function Shell() {
  const session = useLoad("session", (signal) => call<Session>("v1/session", { signal }));
  const scope = session.value;
  const path =
    scope === null || scope.organization_id !== null ? null : scope.app === null ? "v1/overview" : `v1/apps/${scope.app}/overview`;
  const feed = useLive(path);
  const ground = useMemo<Ground | null>(() => scope && { session: scope, feed, can: rightsOf(scope) }, [scope, feed.live]);
  const signOut = (): void => {
    token.clear();
    location.reload();
  };

  if (session.error?.status === 401 || (feed.live.state === "failed" && feed.live.error.status === 401)) {
    return <SignIn isRefused={token.get() !== null} />;
  }
  if (session.error !== null) {
    return (
      <main class="lonely">
        <Failed what="The dashboard" error={session.error} retry={session.reload} />
      </main>
    );
  }
  if (ground === null) return <Loading what="the dashboard" />;
  return (
    <GroundContext.Provider value={ground}>
      <ToastArea>
        <Frame ground={ground} signOut={signOut} />
      </ToastArea>
    </GroundContext.Provider>
  );
}

function rightsOf({ scope, may }: Session): Ground["can"] {
  const isOrganization = scope === "organization";
  return {
    change: scope === "admin",
    manage: may.includes("manage"),
    pause: scope === "admin" || (isOrganization && may.includes("manage")),
    replay: may.includes("act"),
    // Apps belong to their developers.
    test: may.includes("act") && !isOrganization,
    seeAll: scope === "admin" || scope === "read",
  };
}

function Frame({ ground, signOut }: { ground: Ground; signOut: () => void }) {
  const place = usePlace();
  const { session, feed } = ground;
  // An app's token begins with the app's page.
  const [view = "", name = ""] = place.parts.length === 0 && session.app !== null ? ["apps", session.app] : place.parts;
  const main = useRef<HTMLElement>(null);
  const isFirst = useRef(true);
  // Every view formats its times again, because this renders them all.
  const [isUtc, setUtc] = useState(zone.isUtc);
  const switchZone = (): void => {
    zone.set(!isUtc);
    setUtc(!isUtc);
  };
  useLayoutEffect(() => {
    // Focus on its heading announces a new view; the page title announces the first one.
    if (!isFirst.current) main.current?.querySelector<HTMLElement>("h1")?.focus();
    isFirst.current = false;
    scrollTo(0, 0);
  }, [view, name]);

  return (
    <>
      <button type="button" class="skip" onClick={() => main.current?.focus()}>
        Skip to content
      </button>
      <Header {...{ place, view, ground, isUtc, signOut }} onSwitchZone={switchZone} />
      <main id="main" ref={main} tabIndex={-1}>
        <Problems live={feed.live} />
        <View place={place} view={view} name={name} session={session} />
      </main>
      <footer class="bottom">
        Posthorn {session.version} · <a href="openapi.json">API</a>
      </footer>
    </>
  );
}

/** Views that show an app's token what is its app's. */
const FOR_APPS: ReadonlySet<string> = new Set(["find", "events", "deliveries", "installations"]);

/** Views whose place the page of an organization takes. */
const FOR_INSTALLATIONS: ReadonlySet<string> = new Set(["", "apps", "new-app", "organizations"]);

interface ViewProps {
  readonly place: Place;
  readonly view: string;
  readonly name: string;
  readonly session: Session;
}

function View({ place, view, name, session }: ViewProps) {
  const { app: onlyApp, organization_id: organization } = session;
  if (organization !== null && FOR_INSTALLATIONS.has(view))
    return <OrganizationPage id={organization} app={view === "apps" ? name : null} />;
  if (onlyApp !== null && !FOR_APPS.has(view) && (view !== "apps" || name !== onlyApp)) {
    return (
      <Empty title={`Your token covers only ${onlyApp}.`}>
        <a href={hrefOf(["apps", onlyApp])}>Open its page</a>
      </Empty>
    );
  }
  if (view === "") return <Apps place={place} />;
  if (view === "apps" && name !== "") return <AppPage key={name} slug={name} place={place} />;
  if (view === "new-app" && session.scope === "admin") return <NewApp />;
  if (view === "find") return <FindPage place={place} />;
  if (view === "events" && name !== "") return <EventPage key={name} id={name} place={place} />;
  if (view === "events" && onlyApp === null) return <EventsPage place={place} />;
  if (view === "deliveries") return name === "" ? <DeliveriesPage place={place} /> : <DeliveryPage key={name} id={name} />;
  if (view === "installations" && name !== "") return <FindInstallation uuid={name} />;
  if (view === "dead-letters") return <DeadLettersPage place={place} />;
  if (view === "organizations" && name !== "") return <OrganizationPage key={name} id={name} app={null} />;
  if (view === "system" && organization === null) return <SystemPage />;
  if (view === "timeline") return <TimelinePage place={place} />;
  return <NotFound />;
}

function NotFound() {
  useLayoutEffect(() => {
    document.title = "Page not found · Posthorn";
  }, []);
  return (
    <Empty title="Page not found.">
      <a href="#/">Show the apps</a>
    </Empty>
  );
}

/** Names every source that can't be read, for as long as that lasts. */
function Problems({ live }: { live: LiveState }) {
  if (live.state !== "ready") return null;
  const lines = live.problems.map(({ code, detail }) => PROBLEM_TEXTS.get(code) ?? `Some data could not be loaded: ${sentence(detail)}`);
  if (live.mode === "lost")
    lines.unshift(
      live.error?.status === 401
        ? "Your token or link has expired: sign out, and sign in with a new one."
        : `This page may be out of date: ${live.error?.message ?? "the connection was lost"}. Reconnecting…`,
    );
  if (lines.length === 0) return null;
  return (
    <div class="notice notice-bad" role="alert">
      <WarningIcon />
      <div>
        {lines.map((line) => (
          <p key={line}>{line}</p>
        ))}
      </div>
    </div>
  );
}

const PROBLEM_TEXTS: ReadonlyMap<string, string> = new Map(
  Object.entries({
    REDIS_UNREACHABLE: "Redis is unreachable: attempts, rates and the request log are unavailable. Deliveries continue.",
    NATS_UNREACHABLE: "NATS is unreachable: nothing is delivered, and counts of parked deliveries and dead letters are unavailable.",
  }),
);
