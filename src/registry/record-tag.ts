/** What a caller's If-Match is held against: it changes with every change that a caller can see, and with no other. */
import { hash } from "node:crypto";
import { AppError } from "../model/app-error.ts";
import type { InstallationRecord } from "../model/stored-records.ts";

/** What a caller knows of the record it wants to change (RFC 9110 If-Match and If-None-Match). */
export interface Precondition {
  /** The tag it has to have, "*" if it only has to be there, or null. */
  readonly tag: string | null;
  /** It must not be there yet. */
  readonly absent: boolean;
}

export const NO_PRECONDITION: Precondition = { tag: null, absent: false };

/** Of what is shown. When it was probed, which event is on its way and the like is Posthorn's own: those writes leave it. */
export function installationTag(record: InstallationRecord): string {
  const { uuid, app, organization_id, project_ids, status, webhook_url = null, updated_at } = record;
  const shown = JSON.stringify([uuid, app, organization_id, project_ids, status, webhook_url, updated_at]);
  return hash("sha256", shown, "base64url").slice(0, 22);
}

/** @param found the record's tag, null when there is none. @throws AppError PRECONDITION_FAILED */
export function checkPrecondition(key: string, { tag, absent }: Precondition, found: string | null): void {
  if (absent && found !== null) throw new AppError("PRECONDITION_FAILED", `record ${key} is there already`);
  if (tag === null || tag === found || (tag === "*" && found !== null)) return;
  throw new AppError("PRECONDITION_FAILED", `record ${key} has the tag ${found ?? "of none"}, wanted ${tag}`);
}
