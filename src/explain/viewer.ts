/** The caller of explain: an app token sees the deliveries of its own app and nothing of other apps. */

export interface Viewer {
  /** Null: sees everything. */
  readonly onlyApp: string | null;
}

export const EVERYBODY: Viewer = { onlyApp: null };
