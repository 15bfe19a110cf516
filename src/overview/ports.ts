/** What the overview reads of the streams. */
import type { StatusEvent } from "../model/status-event.ts";

export interface SubjectCounts {
  /** App → deliveries in its queue and in those of its installations. */
  readonly parked: ReadonlyMap<string, number>;
  /** App → deliveries in its own queue. */
  readonly parkedInAppQueue: ReadonlyMap<string, number>;
  readonly parkedOfInstallation: ReadonlyMap<string, number>;
  /** App → dead letters. */
  readonly deadLetters: ReadonlyMap<string, number>;
  /** Dead letters that belong to no app. */
  readonly unreadable: number;
}

export type StatusTopic = "integration" | "circuit" | "delivery";

export interface StatusHistory {
  /** Newest first. @param before a sequence, or null for the newest. @returns `next` is what to give as `before`. */
  list(
    filter: { readonly app: string | null; readonly topics: readonly StatusTopic[] },
    before: number | null,
    limit: number,
  ): Promise<{ readonly items: ReadonlyArray<{ readonly sequence: number; readonly event: StatusEvent }>; readonly next: number | null }>;
  /** Events from now on. @returns ends it. */
  follow(listener: (event: StatusEvent) => void): () => void;
}
