/** Why an app has no installation that could have wanted an event. */
import type { Event } from "../model/event.ts";
import { nearest } from "../model/nearest.ts";
import type { RegistryIndex } from "../registry/registry-index.ts";
import type { NotWanted } from "./addressees.ts";

export function whyAbsent(app: string, { organizationId }: Event, index: RegistryIndex): NotWanted {
  if (index.app(app) === undefined) {
    const near = nearest(
      app,
      [...index.apps()].map(({ slug }) => slug),
    );
    const hint = near === undefined ? "" : ` (did you mean ${near}?)`;
    return { app, installation_uuid: null, because: "no_app", detail: `no app ${app}${hint}` };
  }
  const elsewhere = [...index.installations()].filter((installation) => installation.app === app).length;
  const where = elsewhere === 0 ? ", nor anywhere else" : `; it is installed ${times(elsewhere)} elsewhere`;
  return {
    app,
    installation_uuid: null,
    because: "not_installed",
    detail: `app ${app} is not installed in organization ${organizationId}${where}`,
  };
}

function times(count: number): string {
  return count === 1 ? "once" : `${count} times`;
}
