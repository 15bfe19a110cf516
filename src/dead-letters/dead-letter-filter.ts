/** Which dead letters a list or a replay covers. */
import { eventTypeIn, installationIn, organizationIn } from "../jetstream/raw-message.ts";
import type { Subjects } from "../jetstream/subjects.ts";
import { epochMsOf } from "../model/rfc3339.ts";
import type { DeadLetter } from "./read-dead-letter.ts";

export interface DeadLetterFilter {
  /** Null: all apps, and dead letters that belong to none. */
  readonly app: string | null;
  readonly installationUuid?: string | null;
  /** Only those that hold an event of this organization; null: all. */
  readonly organizationId?: string | null;
  readonly eventType?: string | null;
  /** When it became a dead letter, milliseconds since the epoch: from `start`, before `end`. */
  readonly start?: number | null;
  readonly end?: number | null;
  /** Excludes dead letters of an earlier app with the same slug. */
  readonly ownOnly?: boolean;
}

/** When the app was created (model/app.ts); null: unknown, or there is no such app. */
export type AppCreatedAt = (slug: string) => number | null;

/** Whether the dead letter belongs to the app that has its slug now. */
export function isOwnDeadLetter({ app, content }: DeadLetter, appCreatedAt: AppCreatedAt): boolean {
  const createdAt = app === null ? null : appCreatedAt(app);
  if (createdAt === null) return true;
  const stamp = content["app_created_at"];
  if (typeof stamp === "string") return epochMsOf(stamp) === createdAt;
  // Early versions and raw messages have no stamp: the time of the dead letter decides.
  return deadLetteredAt(content) >= createdAt;
}

export function matchesFilter(deadLetter: DeadLetter, filter: DeadLetterFilter, names: Subjects, appCreatedAt: AppCreatedAt): boolean {
  const { content } = deadLetter;
  const { eventType, installationUuid, organizationId, start, end, ownOnly } = filter;
  if (ownOnly && !isOwnDeadLetter(deadLetter, appCreatedAt)) return false;
  if (installationUuid != null && installationIn(content) !== installationUuid) return false;
  if (organizationId != null && organizationIn(content) !== organizationId) return false;
  if (eventType != null && eventTypeIn(content, names) !== eventType) return false;
  const at = deadLetteredAt(content);
  return (start == null || at >= start) && (end == null || at < end);
}

export function deadLetteredAt(content: DeadLetter["content"]): number {
  return epochMsOf(String(content["dead_lettered_at"]));
}
