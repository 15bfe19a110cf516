/** One thing that a search has found. */
import type { EventIdentity } from "../model/event-key.ts";

export const FOUND_KINDS = ["app", "organization", "installation", "event", "delivery"] as const;

export interface FoundItem {
  readonly kind: (typeof FOUND_KINDS)[number];
  readonly id: string;
  readonly app: string | null;
  readonly organizationId: string | null;
  /** RFC 3339; null: it has no time. */
  readonly at: string | null;
  /** A line for people. */
  readonly detail: string;
  /** Distinguishes events with the same id; null for the other kinds. */
  readonly event: Pick<EventIdentity, "type" | "source"> | null;
}
