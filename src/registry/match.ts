/** Decides which installations get an event (docs/design.md 3.2). */
import { type App, type Installation, patternCovers } from "../model/app.ts";
import type { Event } from "../model/event.ts";

export type NotWantedBecause = "other_app" | "other_installation" | "other_project" | "not_subscribed";

/** Why an installation of the event's organization does not get the event; null if it does. Admission looks at its status. */
export function whyNotWanted(event: Event, installation: Installation, app: App): NotWantedBecause | null {
  if (event.app !== null && event.app !== app.slug) return "other_app";
  if (event.installationUuid !== null && event.installationUuid !== installation.uuid) return "other_installation";
  if (!coversProject(installation, event.projectId)) return "other_project";
  if (event.resource === "installation" && (event.app !== null || event.installationUuid !== null)) return null;
  return app.events.some((pattern) => patternCovers(pattern, event.resource, event.type)) ? null : "not_subscribed";
}

/** An event without a project reaches every installation. */
function coversProject({ projectIds }: Installation, projectId: string | null): boolean {
  return projectIds.length === 0 || projectId === null || projectIds.includes(projectId);
}
