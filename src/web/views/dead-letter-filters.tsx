/** The filters above a list of dead letters, and the actions beside them. */
import type { ComponentChildren } from "preact";
import { useGround } from "../ground.ts";
import { FilterField } from "../parts/filters.tsx";
import { TimeFilter } from "../parts/time-filter.tsx";

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
      {app === null && <FilterField name="app" label="App" value={slug} choices={apps} />}
      <FilterField name="type" label="Event type" value={type} />
      <TimeFilter since={since} />
      <div class="toolbar-end">{children}</div>
    </div>
  );
}
