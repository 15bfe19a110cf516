/**
 * Installations by organization and app, in little memory: most organizations have few of them, and one may have all. An organization
 * with one installation costs an entry of a Map; one with more has a Map by app.
 */
import type { Installation } from "../model/app.ts";

export interface OrganizationInstallations {
  of(organizationId: string): Iterable<Installation>;
  /** The app's installations in the organization. */
  ofApp(organizationId: string, app: string): readonly Installation[];
  add(installation: Installation): void;
  remove(installation: Installation): void;
}

/** Several: an app may be installed in an organization more than once (allow_duplicate). */
type OfApp = Installation | readonly Installation[];
type OfOrganization = Installation | Map<string, OfApp>;

export function createOrganizationInstallations(): OrganizationInstallations {
  const byOrganization = new Map<string, OfOrganization>();

  return {
    of(organizationId) {
      const found = byOrganization.get(organizationId);
      return found instanceof Map ? allOf(found) : listOf(found);
    },
    ofApp(organizationId, app) {
      const found = byOrganization.get(organizationId);
      if (found instanceof Map) return listOf(found.get(app));
      return found?.app === app ? [found] : [];
    },
    add(installation) {
      const { organizationId, app } = installation;
      const found = byOrganization.get(organizationId);
      if (found === undefined) return void byOrganization.set(organizationId, installation);
      const byApp = found instanceof Map ? found : new Map<string, OfApp>([[found.app, found]]);
      const others = listOf(byApp.get(app));
      byApp.set(app, others.length === 0 ? installation : [...others, installation]);
      byOrganization.set(organizationId, byApp);
    },
    remove({ organizationId, app, uuid }) {
      const found = byOrganization.get(organizationId);
      if (!(found instanceof Map)) {
        if (found?.uuid === uuid) byOrganization.delete(organizationId);
        return;
      }
      const [first, ...more] = listOf(found.get(app)).filter((other) => other.uuid !== uuid);
      if (first === undefined) found.delete(app);
      else found.set(app, more.length === 0 ? first : [first, ...more]);
      if (found.size === 0) byOrganization.delete(organizationId);
    },
  };
}

function listOf(found: OfApp | undefined): readonly Installation[] {
  if (found === undefined) return [];
  return "uuid" in found ? [found] : found;
}

function* allOf(byApp: ReadonlyMap<string, OfApp>): Iterable<Installation> {
  for (const ofApp of byApp.values()) {
    if ("uuid" in ofApp) yield ofApp;
    else yield* ofApp;
  }
}
