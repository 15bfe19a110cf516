/** Reads `installation.<uuid>` records. Times are milliseconds since the epoch. */
import { epochMsOf } from "../model/rfc3339.ts";
import type { InstallationRecord } from "../model/stored-records.ts";

export const INSTALLATION_PREFIX = "installation.";

/** When the integration was last probed, or broke. */
export function probedAt({ probed_at, broken_at }: InstallationRecord): number {
  return timeOf(probed_at ?? broken_at);
}

/** When it became active again; 0 if it always was active. */
export function recoveredAt({ recovered_at }: InstallationRecord): number {
  return timeOf(recovered_at);
}

export function brokenAt({ broken_at }: InstallationRecord): number {
  return timeOf(broken_at);
}

/** Number of status changes so far. */
export function generationOf({ n }: InstallationRecord): number {
  return n ?? 0;
}

function timeOf(text: string | undefined): number {
  return text === undefined ? 0 : epochMsOf(text);
}
