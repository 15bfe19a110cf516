/** Who wants an event (DESIGN 3.2). Pure. */
import { type App, type Installation, patternCovers } from "../model/app.ts";
import type { Event } from "../model/event.ts";

/** Whether the installation, of the event's organization, gets the event. Its status is the gate's business, not ours. */
export function isWanted(event: Event, installation: Installation, app: App): boolean {
  if (event.app !== null && event.app !== app.slug) return false;
  if (event.installationUuid !== null && event.installationUuid !== installation.uuid) return false;
  if (!coversProject(installation, event.projectId)) return false;
  if (event.resource === "installation" && (event.app !== null || event.installationUuid !== null)) return true;
  return app.events.some((pattern) => patternCovers(pattern, event.resource, event.type));
}

/** An event that belongs to no project reaches every installation. */
function coversProject({ projectIds }: Installation, projectId: string | null): boolean {
  return projectIds.length === 0 || projectId === null || projectIds.includes(projectId);
}
