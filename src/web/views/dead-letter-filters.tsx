/** The filters above a list of dead letters, and the actions beside them. */
import type { ComponentChildren } from "preact";
import { useGround } from "../ground.ts";
import { SINCE_OPTIONS } from "../parts/since.ts";
import { setQuery } from "../routing.ts";

export interface DeadLetterFiltersProps {
  /** Null: all apps, and there is a filter by app. */
  readonly app: string | null;
  readonly slug: string;
  readonly type: string;
  readonly since: string;
  /** The actions. */
  readonly children: ComponentChildren;
}

export function DeadLetterFilters({ app, slug, type, since, children }: DeadLetterFiltersProps) {
  const { live } = useGround().feed;
  const apps = live.state === "ready" ? [...live.apps.keys()] : [];
  return (
    <div class="toolbar">
      {app === null && (
        <label class="control">
          <span class="hidden">App</span>
          <input
            type="search"
            list="apps"
            placeholder="All apps"
            defaultValue={slug}
            onChange={(event) => setQuery({ app: event.currentTarget.value.trim() || null, cursor: null })}
          />
          <datalist id="apps">
            {apps.map((one) => (
              <option key={one} value={one} />
            ))}
          </datalist>
        </label>
      )}
      <label class="control">
        <span class="hidden">Event type</span>
        <input
          type="search"
          placeholder="All event types"
          defaultValue={type}
          onChange={(event) => setQuery({ type: event.currentTarget.value.trim() || null, cursor: null })}
        />
      </label>
      <label class="control">
        <span class="hidden">Time</span>
        <select value={since} onChange={(event) => setQuery({ since: event.currentTarget.value || null, cursor: null })}>
          {SINCE_OPTIONS.map(({ value, text }) => (
            <option key={value} value={value}>
              {text}
            </option>
          ))}
        </select>
      </label>
      <div class="toolbar-end">{children}</div>
    </div>
  );
}
