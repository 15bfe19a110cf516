/** The header of every view: navigation, search, the zone of all times, and how current the page is. */
import type { ComponentChildren } from "preact";
import type { Session } from "../client/api-types.generated.ts";
import { deadLettersOf } from "../client/app-condition.ts";
import { token } from "./api.ts";
import { shortCount } from "./format.ts";
import type { Ground } from "./ground.ts";
import type { LiveState } from "./live.ts";
import { Horn } from "./parts/icons.tsx";
import { ScrollingNav } from "./parts/scrolling-nav.tsx";
import { When } from "./parts/when.tsx";
import { hrefOf, type Place } from "./routing.ts";
import { useNow } from "./use-now.ts";
import { SearchBox } from "./views/find.tsx";
import { offsetAt, zone } from "./zone.ts";

interface HeaderProps {
  readonly place: Place;
  readonly view: string;
  readonly ground: Ground;
  readonly isUtc: boolean;
  readonly onSwitchZone: () => void;
  readonly signOut: () => void;
}

export function Header({ place, view, ground: { session, feed, can }, isUtc, onSwitchZone, signOut }: HeaderProps) {
  const isOrganization = session.organization_id !== null;
  return (
    <header class="top">
      <div class="top-inner">
        <a class="brand" href="#/">
          <Horn /> Posthorn
        </a>
        <ScrollingNav label="Main" current={view}>
          {session.app === null ? (
            <>
              <NavLink
                to={[]}
                text={isOrganization ? "Installations" : "Apps"}
                isHere={view === "" || view === "apps" || view === "new-app" || view === "organizations"}
              />
              <NavLink to={["events"]} text="Events" isHere={view === "events"} />
              <NavLink to={["deliveries"]} text="Deliveries" isHere={view === "deliveries"} />
              <NavLink to={["dead-letters"]} text="Dead letters" isHere={view === "dead-letters"} badge={deadLetters(feed.live)} />
              <NavLink to={["timeline"]} text="Timeline" isHere={view === "timeline"} />
              {can.seeAll && <NavLink to={["system"]} text="System" isHere={view === "system"} />}
            </>
          ) : (
            <>
              <NavLink to={["apps", session.app]} text="App" isHere={view === "apps"} />
              <NavLink to={["deliveries"]} text="Deliveries" isHere={view === "deliveries"} />
            </>
          )}
        </ScrollingNav>
        <SearchBox place={place} />
        <div class="top-end">
          <Scope session={session} />
          {!isOrganization && <ConnectionState live={feed.live} />}
          <ZoneSwitch isUtc={isUtc} onSwitch={onSwitchZone} />
          {token.get() !== null && (
            <button type="button" class="button quiet small" onClick={signOut}>
              Sign out
            </button>
          )}
        </div>
      </div>
    </header>
  );
}

/** The reach of the token; nothing for an admin token. */
function Scope({ session: { scope, may, expires_at } }: { session: Session }) {
  if (scope === "admin") return null;
  const owner = scope === "app" ? "One app" : "One organization";
  const reach =
    scope === "read" ? "Read only" : may.includes("manage") ? owner : `${owner}, ${may.includes("act") ? "no settings" : "read only"}`;
  return (
    <span class="scope">
      {reach}
      {expires_at !== null && (
        <>
          {" "}
          until <When at={expires_at} />
        </>
      )}
    </span>
  );
}

function NavLink({ to, text, isHere, badge = null }: { to: string[]; text: string; isHere: boolean; badge?: number | null }) {
  return (
    <a href={hrefOf(to)} aria-current={isHere ? "page" : undefined}>
      {text}
      {badge !== null && badge > 0 && <span class="badge">{shortCount(badge)}</span>}
    </a>
  );
}

function deadLetters(live: LiveState): number | null {
  return live.state === "ready" ? deadLettersOf({ items: [...live.apps.values()], unreadable: live.unreadable }) : null;
}

function ZoneSwitch({ isUtc, onSwitch }: { isUtc: boolean; onSwitch: () => void }) {
  return (
    <button type="button" class="button quiet small zone" aria-pressed={isUtc} title={`Times are in ${zone.name()}`} onClick={onSwitch}>
      <span class="hidden">Times in </span>
      {offsetAt(useNow())}
    </button>
  );
}

function ConnectionState({ live }: { live: LiveState }) {
  const [kind, text]: [string, ComponentChildren] =
    live.state === "loading"
      ? ["plain", "Connecting…"]
      : live.state === "failed" || live.mode === "lost"
        ? ["bad", "Not connected"]
        : live.mode === "pushed"
          ? ["ok", "Live"]
          : ["plain", "Every 5 s"];
  return (
    <span class={`live live-${kind}`}>
      <span class="live-dot" aria-hidden="true" />
      {text}
    </span>
  );
}
