/** The caller: the token of an app sees the app's deliveries only, the token of an organization the organization's events and deliveries. */

export interface Viewer {
  /** Null: deliveries of all apps. */
  readonly onlyApp: string | null;
  /** Null: events and deliveries of all organizations. */
  readonly onlyOrganization: string | null;
}

export const EVERYBODY: Viewer = { onlyApp: null, onlyOrganization: null };

export function seesEverything({ onlyApp, onlyOrganization }: Viewer): boolean {
  return onlyApp === null && onlyOrganization === null;
}

/** @param organizationId of the event; undefined or null: not known, which nobody's own token sees */
export function seesOrganization({ onlyOrganization }: Viewer, organizationId: string | null | undefined): boolean {
  return onlyOrganization === null || organizationId === onlyOrganization;
}
