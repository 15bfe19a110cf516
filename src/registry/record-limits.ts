/** Size limits of apps and installations, each of them a setting. records.ts has the form of a record. */
import type { AppMembers, InstallationMembers } from "./record-bodies.ts";
import type { RecordProblem } from "./record-problem.ts";

/** Lengths are in characters. */
export interface RecordLimits {
  readonly maxNameLength: number;
  readonly maxUrlLength: number;
  /** Limit of an organization's or a project's id. */
  readonly maxIdLength: number;
  /** Number of patterns that an app subscribes to. */
  readonly maxEvents: number;
  readonly maxHeaders: number;
  /** Limit of one header's value. */
  readonly maxHeaderLength: number;
  readonly maxRetries: number;
  readonly maxProjects: number;
}

export function appExceeds(app: AppMembers, limits: RecordLimits): RecordProblem[] {
  return found([
    ["name", app.name.length, limits.maxNameLength, "characters"],
    ["webhook_url", app.webhook_url.length, limits.maxUrlLength, "characters"],
    ["events", app.events.length, limits.maxEvents, "patterns"],
    ["headers", Object.keys(app.headers).length, limits.maxHeaders, "headers"],
    ...Object.entries(app.headers).map(([name, value]): Count => [`headers.${name}`, value.length, limits.maxHeaderLength, "characters"]),
    ["retry_schedule_s", app.retry_schedule_s?.length, limits.maxRetries, "delays"],
  ]);
}

export function installationExceeds(installation: InstallationMembers, limits: RecordLimits): RecordProblem[] {
  return found([
    ["organization_id", installation.organization_id.length, limits.maxIdLength, "characters"],
    ["webhook_url", installation.webhook_url?.length, limits.maxUrlLength, "characters"],
    ["project_ids", installation.project_ids.length, limits.maxProjects, "projects"],
    ...installation.project_ids.map((id, at): Count => [`project_ids.${at}`, id.length, limits.maxIdLength, "characters"]),
  ]);
}

type Count = readonly [path: string, count: number | undefined, most: number, what: string];

function found(counts: readonly Count[]): RecordProblem[] {
  return counts
    .filter(([, count = 0, most]) => count > most)
    .map(([path, count, most, what]) => ({ path, message: `found ${count} ${what}, wanted at most ${most}` }));
}
