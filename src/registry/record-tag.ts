/** Tags of records for If-Match: a tag changes with every change that a caller can see, and with no other. */
import { hash } from "node:crypto";
import { AppError } from "../model/app-error.ts";
import type { InstallationRecord } from "../model/stored-records.ts";

/** A caller's condition for a change (RFC 9110 If-Match and If-None-Match). */
export interface Precondition {
  /** The tags of which the record must have one; "*" for any; null for no condition. */
  readonly tags: readonly string[] | "*" | null;
  /** The record must not exist. */
  readonly absent: boolean;
}

export const NO_PRECONDITION: Precondition = { tags: null, absent: false };

export function hasPrecondition({ tags, absent }: Precondition): boolean {
  return tags !== null || absent;
}

/** Covers the members that callers see. Internal members, such as the time of the last probe, don't change the tag. */
export function installationTag(record: InstallationRecord): string {
  const { uuid, app, organization_id, project_ids, status, webhook_url = null, updated_at } = record;
  const shown = JSON.stringify([uuid, app, organization_id, project_ids, status, webhook_url, updated_at]);
  return hash("sha256", shown, "base64url").slice(0, 22);
}

/** @param found the record's tag; null if there is no record. @throws AppError PRECONDITION_FAILED */
export function checkPrecondition(key: string, { tags, absent }: Precondition, found: string | null): void {
  const what = key.replace(".", " ");
  if (absent && found !== null) throw new AppError("PRECONDITION_FAILED", `${what} exists already`);
  if (tags === null || (found !== null && (tags === "*" || tags.includes(found)))) return;
  const wanted = tags === "*" ? "any" : tags.map((tag) => JSON.stringify(tag)).join(" or ");
  throw new AppError("PRECONDITION_FAILED", `${what} ${found === null ? "does not exist" : `has the tag "${found}"`}, wanted ${wanted}`);
}
