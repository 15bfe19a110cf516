/** Apps and installations in memory, indexed for the delivery path. index-feed.ts fills it. */
import type { App, Installation } from "../model/app.ts";
import type { Event } from "../model/event.ts";
import { whyNotWanted } from "./match.ts";
import { createOrganizationInstallations } from "./organization-installations.ts";

export interface RegistryIndex {
  app(slug: string): App | undefined;
  installation(uuid: string): Installation | undefined;
  apps(): Iterable<App>;
  installations(): Iterable<Installation>;
  /** Slugs of existing apps and of removed ones. */
  slugs(): Iterable<string>;
  installationsOf(organizationId: string): readonly Installation[];
  /** The installations that get the event, whatever their status. */
  match(event: Event): Installation[];
  putApp(app: App): void;
  removeApp(slug: string): void;
  /** @param revision the record's revision */
  putInstallation(installation: Installation, revision?: number): void;
  /** Installations of the app in the organization, each with the revision that put it there. */
  placedAt(app: string, organizationId: string): ReadonlyArray<{ readonly uuid: string; readonly revision: number }>;
  removeInstallation(uuid: string): void;
  counts(): { readonly apps: number; readonly installations: number };
}

/** Number of removed apps whose deliveries can still be found by id alone. */
const MOST_REMOVED = 10_000;

export function createRegistryIndex(): RegistryIndex {
  const apps = new Map<string, App>();
  const removed = new Set<string>();
  const installations = new Map<string, Installation>();
  const byOrganization = createOrganizationInstallations();
  const placedAts = new Map<string, number>();

  const removeInstallation = (uuid: string): void => {
    const installation = installations.get(uuid);
    if (installation === undefined) return;
    installations.delete(uuid);
    placedAts.delete(uuid);
    byOrganization.remove(installation);
  };

  /** The installations of the event's organization that it does not rule out by name. */
  const addressed = ({ organizationId, installationUuid, app }: Event): Iterable<Installation> => {
    if (installationUuid === null) return app === null ? byOrganization.of(organizationId) : byOrganization.ofApp(organizationId, app);
    const named = installations.get(installationUuid);
    return named?.organizationId === organizationId ? [named] : [];
  };

  return {
    app: (slug) => apps.get(slug),
    installation: (uuid) => installations.get(uuid),
    apps: () => apps.values(),
    installations: () => installations.values(),
    slugs: () => new Set([...apps.keys(), ...removed]),
    installationsOf: (organizationId) => [...byOrganization.of(organizationId)],

    match(event) {
      const wanted: Installation[] = [];
      for (const installation of addressed(event)) {
        const app = apps.get(installation.app);
        if (app !== undefined && whyNotWanted(event, installation, app) === null) wanted.push(installation);
      }
      return wanted;
    },

    putApp: (app) => void apps.set(app.slug, app),
    removeApp(slug) {
      apps.delete(slug);
      removed.add(slug);
      for (const oldest of removed) {
        if (removed.size <= MOST_REMOVED) break;
        removed.delete(oldest);
      }
    },
    putInstallation(installation, revision = 0) {
      const before = installations.get(installation.uuid);
      const stays = before?.app === installation.app && before.organizationId === installation.organizationId;
      const placedAt = stays ? (placedAts.get(installation.uuid) ?? revision) : revision;
      removeInstallation(installation.uuid);
      placedAts.set(installation.uuid, placedAt);
      installations.set(installation.uuid, installation);
      byOrganization.add(installation);
    },
    removeInstallation,
    placedAt: (app, organizationId) =>
      byOrganization.ofApp(organizationId, app).map(({ uuid }) => ({ uuid, revision: placedAts.get(uuid) ?? 0 })),
    counts: () => ({ apps: apps.size, installations: installations.size }),
  };
}
