/** Records the changes that calls make: the records of an app or installation before and after, without secrets. */
import { isDeepStrictEqual } from "node:util";
import type { AuditLog, Change } from "../../audit/audit-log.ts";
import type { RegistryIndex } from "../../registry/registry-index.ts";
import { appView, installationView } from "../schemas/records.ts";
import type { Answer, Caller, Route } from "./route.ts";

export interface Target {
  readonly app: string | null;
  readonly installationUuid: string | null;
  /** The path of what a call made; the call's when absent. */
  readonly path?: string | undefined;
}

export interface Audited {
  /** Runs a change and records it when it has been made. */
  run<T>(
    about: Pick<Change, "who" | "action" | "target"> & Partial<Pick<Change, "app" | "installation_uuid">>,
    target: Target,
    work: () => Promise<T>,
    targetOf?: (made: T) => Target,
  ): Promise<T>;
}

/** Publishing is no change, and a test call changes nothing. */
const UNRECORDED: ReadonlySet<string> = new Set(["publishEvent", "testApp"]);

/** A write that changes nothing writes nothing, not even updated_at. */
const RECORD_WRITES: ReadonlySet<string> = new Set([
  ...["createOrReplaceApp", "updateApp", "createOrReplaceInstallation", "updateInstallation"],
  ...["enableInstallation", "disableInstallation"],
]);

/** Records are compared before and after these calls only: any difference during another call is another caller's. */
const CHANGES_RECORD: ReadonlySet<string> = new Set([
  ...RECORD_WRITES,
  ...["rotateAppSecret", "deleteApp", "createInstallation", "deleteInstallation"],
]);

export function createAudited(log: Pick<AuditLog, "record">, index: Pick<RegistryIndex, "app" | "installation">): Audited {
  const snapshot = (action: string, { app, installationUuid }: Target): Readonly<Record<string, unknown>> | null => {
    if (!CHANGES_RECORD.has(action)) return null;
    if (installationUuid !== null) {
      const found = index.installation(installationUuid);
      return found === undefined ? null : { ...installationView(found, { showsUrls: false }) };
    }
    const found = app === null ? undefined : index.app(app);
    return found === undefined ? null : { ...appView(found, { showsUrls: false }) };
  };

  return {
    async run(about, target, work, targetOf = () => target) {
      const before = snapshot(about.action, target);
      const made = await work();
      const changed = targetOf(made);
      const after = snapshot(about.action, changed);
      if (RECORD_WRITES.has(about.action) && isDeepStrictEqual(before, after)) return made;
      const uuid = changed.installationUuid ?? about.installation_uuid ?? null;
      const installed = uuid === null ? undefined : index.installation(uuid);
      const app = changed.app ?? about.app ?? textOf(after, "app") ?? textOf(before, "app") ?? installed?.app ?? null;
      await log.record({
        ...about,
        target: changed.path ?? about.target,
        app,
        installation_uuid: uuid,
        ...difference(before, after),
      });
      return made;
    },
  };
}

interface Given {
  readonly params: Readonly<Record<string, string>>;
  readonly query: unknown;
  readonly body: unknown;
}

function isDryRun(given: unknown): boolean {
  const { dry_run: dryRun } = (given ?? {}) as { readonly dry_run?: unknown };
  return dryRun === true || dryRun === "true" || dryRun === "1";
}

/** @returns null for a call that is not recorded */
export function auditOf({ method, operationId, url }: Route, { name }: Caller, { params, query, body }: Given) {
  if (method === "GET" || UNRECORDED.has(operationId) || isDryRun(query) || isDryRun(body)) return null;
  const queryText = new URLSearchParams(query as Readonly<Record<string, string>>).toString();
  const target = url.replace(/:([a-z_]+)/g, (_, name: string) => params[name] ?? "") + (queryText === "" ? "" : `?${queryText}`);
  const owner: Target = { app: params["slug"] ?? null, installationUuid: params["uuid"]?.toLowerCase() ?? null };
  /** A POST names what it made in its answer. An app that is named in its body is not what it changes. */
  const targetOf = (answer: Answer): Target => {
    const uuid = operationId === "createInstallation" ? textOf(answer.body, "uuid") : null;
    return { app: owner.app, installationUuid: owner.installationUuid ?? uuid, path: answer.headers?.["location"] };
  };
  const named = (member: string) => textOf(body, member) ?? textOf(query, member);
  const about = { who: name, action: operationId, target, app: named("app"), installation_uuid: named("installation_uuid") };
  return { about, owner, targetOf };
}

/** Only the members that differ; a new or removed record is whole. */
function difference(before: Readonly<Record<string, unknown>> | null, after: Readonly<Record<string, unknown>> | null) {
  if (before === null || after === null) return { before, after };
  const names = Object.keys(after).filter((name) => name !== "updated_at" && !isDeepStrictEqual(before[name], after[name]));
  const pick = (record: Readonly<Record<string, unknown>>) => Object.fromEntries(names.map((name) => [name, record[name]]));
  return names.length === 0 ? { before: null, after: null } : { before: pick(before), after: pick(after) };
}

function textOf(value: unknown, name: string): string | null {
  const found = typeof value === "object" && value !== null ? (value as Readonly<Record<string, unknown>>)[name] : undefined;
  return typeof found === "string" ? found : null;
}
