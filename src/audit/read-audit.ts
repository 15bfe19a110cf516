/** Lists entries of the audit log, newest first. */
import type { AuditStream } from "../jetstream/audit-stream.ts";
import { type StreamMessage, textOf } from "../jetstream/read-stream.ts";
import type { AuditEntry } from "./audit-entry.ts";

export interface AuditFilter {
  /** Null: all. */
  readonly app: string | null;
  readonly who: string | null;
  readonly action: string | null;
  readonly installationUuid: string | null;
  /** Only changes of installations for which it is true. */
  readonly isOfInstallation: ((uuid: string) => boolean) | null;
  /** Milliseconds since the epoch; the start is included, the end is not. Null: open. */
  readonly start: number | null;
  readonly end: number | null;
}

export type ReadAudit = (
  filter: AuditFilter,
  before: number | null,
  limit: number,
) => Promise<{ readonly items: readonly AuditEntry[]; readonly next: number | null }>;

export function createReadAudit(stream: Pick<AuditStream, "list">): ReadAudit {
  return async (filter, before, limit) => {
    const { items, next } = await stream.list(filter.app, before, limit, (message) => wanted(message, filter));
    return { items: items.map(({ value }) => value), next };
  };
}

function wanted(
  { data, storedAt }: StreamMessage,
  { who, action, installationUuid, isOfInstallation, start, end }: AuditFilter,
): AuditEntry | null {
  if (storedAt < (start ?? 0) || storedAt >= (end ?? Number.POSITIVE_INFINITY)) return null;
  let entry: AuditEntry;
  try {
    entry = JSON.parse(textOf(data)) as AuditEntry;
  } catch {
    return null;
  }
  if (typeof entry?.id !== "string") return null;
  if (who !== null && entry.who !== who) return null;
  if (action !== null && entry.action !== action) return null;
  if (isOfInstallation !== null && (entry.installation_uuid === null || !isOfInstallation(entry.installation_uuid))) return null;
  return installationUuid !== null && entry.installation_uuid !== installationUuid ? null : entry;
}
