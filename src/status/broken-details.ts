/** Since when and why integrations are broken, as the registry's records say, kept for people to read. */
import type { BrokenReasonData } from "../model/status-event.ts";
import { statusOf } from "./integration-status.ts";
import type { RecordJson } from "./transitions.ts";

export interface BrokenDetail {
  /** RFC 3339. */
  readonly at: string;
  readonly reason: BrokenReasonData | null;
}

export interface BrokenDetails {
  /** Null when it is not broken. */
  of(installationUuid: string): BrokenDetail | null;
  /** The record has changed; null: it is gone. */
  update(installationUuid: string, record: RecordJson | null): void;
}

export function createBrokenDetails(): BrokenDetails {
  const details = new Map<string, BrokenDetail>();
  return {
    of: (uuid) => details.get(uuid) ?? null,
    update(uuid, record) {
      if (record === null || statusOf(record) !== "broken") {
        details.delete(uuid);
        return;
      }
      const reason = (record["broken_reason"] as BrokenReasonData | undefined) ?? null;
      details.set(uuid, { at: String(record["broken_at"] ?? ""), reason });
    },
  };
}
