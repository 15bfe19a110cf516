/** Finds apps, installations and organizations by what they are called, or by the beginning of it. */
import type { RegistryIndex } from "../registry/registry-index.ts";
import type { FoundItem } from "./found-item.ts";
import type { Viewer } from "./viewer.ts";

/** Items of each kind; the best ones come first. */
const MOST = 10;
/** Characters that a beginning needs. */
const SHORTEST = 3;

export function findInRegistry(text: string, index: RegistryIndex, viewer: Viewer): FoundItem[] {
  const { onlyApp, onlyOrganization } = viewer;
  // No call shows an app to an organization.
  const isVisible = (app: string): boolean => onlyOrganization === null && (onlyApp === null || app === onlyApp);
  const wanted = text.toLowerCase();
  const begins = (name: string): boolean => name === wanted || (wanted.length >= SHORTEST && name.startsWith(wanted));

  const apps = [...index.apps()].filter(({ slug, name }) => isVisible(slug) && (begins(slug) || begins(name.toLowerCase())));
  const visible = [...(onlyOrganization === null ? index.installations() : index.installationsOf(onlyOrganization))].filter(
    ({ app }) => onlyApp === null || app === onlyApp,
  );
  const organizations = Map.groupBy(
    visible.filter(({ organizationId: id }) => id === text || (text.length >= SHORTEST && id.startsWith(text))),
    ({ organizationId }) => organizationId,
  );
  const isUuidLike = /^[0-9a-f-]+$/.test(wanted) && begins(wanted);
  const installations = [...(isUuidLike ? visible.filter(({ uuid }) => begins(uuid)) : []), ...(organizations.get(text) ?? [])];
  return [
    ...exactFirst(apps, ({ slug }) => slug === wanted).map(
      ({ slug, name }): FoundItem => ({ kind: "app", id: slug, app: slug, organizationId: null, at: null, detail: name, event: null }),
    ),
    ...exactFirst([...organizations], ([id]) => id === text).map(
      ([id, own]): FoundItem => ({
        kind: "organization",
        id,
        app: null,
        organizationId: id,
        at: null,
        detail: installed(own.length),
        event: null,
      }),
    ),
    ...exactFirst([...new Set(installations)], ({ uuid }) => uuid === wanted).map(
      ({ uuid, app, organizationId, status }): FoundItem => ({
        ...{ kind: "installation", id: uuid, app, organizationId, at: null, event: null },
        detail: `${app} in organization ${organizationId}, ${status}`,
      }),
    ),
  ];
}

function exactFirst<T>(found: readonly T[], isExact: (one: T) => boolean): T[] {
  return [...found.filter(isExact), ...found.filter((one) => !isExact(one))].slice(0, MOST);
}

function installed(count: number): string {
  return `${count} installation${count === 1 ? "" : "s"}`;
}
