/**
 * POSTHORN_APPS_FILE: apps and installations from YAML, put into the registry at every start. An entry replaces its record as a
 * PUT does, so an absent member gets its default; without `client_secret` the secret stays. The file never removes a record or
 * changes a status. Each changed record is logged with the names of its changed members; an unchanged one is not written.
 */
import { readFile } from "node:fs/promises";
import { loadAll, YAMLException } from "js-yaml";
import { z } from "zod";
import { AppError, messageOf } from "../model/app-error.ts";
import type { Logger } from "../model/logger.ts";
import { NO_PRECONDITION } from "./record-tag.ts";
import { appBody, installationBody, slugParameter, uuidParameter } from "./records.ts";
import type { Registry } from "./registry.ts";

const fileSchema = z.strictObject({
  apps: z
    .array(appBody.required({ slug: true }).extend({ slug: slugParameter, client_secret_file: z.string().min(1).optional() }))
    .default([]),
  installations: z.array(installationBody.extend({ uuid: uuidParameter })).default([]),
});

type AppsFile = z.output<typeof fileSchema>;

export interface AppsFileLoaded {
  readonly apps: number;
  readonly installations: number;
  /** Number of created or changed records. */
  readonly changed: number;
}

/** Each has one write in the bucket under way, and then one in the audit log. */
const CHANGES_AT_ONCE = 512;

/** @throws AppError APPS_FILE_INVALID with every problem. */
export async function loadAppsFile(path: string, registry: Registry, logger: Logger): Promise<AppsFileLoaded> {
  const { apps, installations } = parse(path, await readText(path));
  const problems = [
    ...duplicates("apps", apps, ({ slug }) => slug),
    ...duplicates("installations", installations, ({ uuid }) => uuid),
    ...apps.flatMap((app, at) =>
      app.client_secret !== undefined && app.client_secret_file !== undefined
        ? [`apps.${at}: client_secret and client_secret_file: wanted one of them`]
        : [],
    ),
  ];
  if (problems.length > 0) throw invalid(path, problems);
  let changed = 0;
  const note = (about: object, result: { readonly created: boolean; readonly changed: readonly string[] }): void => {
    if (result.changed.length === 0) return;
    changed++;
    const done = result.created ? "created" : "changed";
    logger.info({ ...about, members: result.created ? undefined : result.changed }, `record ${done} from the apps file`);
  };
  const putApp = async ({ client_secret_file: secretFile, ...app }: AppsFile["apps"][number]): Promise<void> => {
    const secret = secretFile === undefined ? app.client_secret : (await readSecret(secretFile)).trim();
    const { client_secret: _, ...body } = app;
    const result = await registry.putApp(app.slug, secret === undefined ? body : { ...body, client_secret: secret }, NO_PRECONDITION);
    note({ app: app.slug }, result);
    if (result.created && secret === undefined) {
      logger.warn(
        { app: app.slug },
        "the apps file has no client_secret for this app; a random one was set; run posthorn apps rotate-secret to get a new one",
      );
    }
  };
  problems.push(...(await putAll("apps", apps, putApp)));
  // An installation whose app was refused would only repeat the app's problem.
  if (problems.length === 0) {
    const put = async (installation: AppsFile["installations"][number]): Promise<void> =>
      note({ installation_uuid: installation.uuid }, await registry.putInstallation(installation.uuid, installation, NO_PRECONDITION));
    problems.push(...(await putAll("installations", installations, put)));
  }
  if (problems.length > 0) throw invalid(path, problems);
  return { apps: apps.length, installations: installations.length, changed };
}

/** @returns a problem for each refused entry, in the order of the file */
async function putAll<T>(where: string, entries: readonly T[], put: (entry: T) => Promise<void>): Promise<string[]> {
  const problems = new Map<number, string>();
  const remaining = entries.entries();
  const work = async (): Promise<void> => {
    for (const [at, entry] of remaining) {
      try {
        await put(entry);
      } catch (error) {
        if (!(error instanceof AppError) || error.retryable) throw error;
        problems.set(at, `${where}.${at}: ${error.message}`);
      }
    }
  };
  await Promise.all(Array.from({ length: CHANGES_AT_ONCE }, work));
  return [...problems].sort(([a], [b]) => a - b).map(([, problem]) => problem);
}

async function readSecret(path: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    throw new AppError("APPS_FILE_INVALID", `client_secret_file ${path} can't be read (${messageOf(error)})`);
  }
}

function duplicates<T>(where: string, entries: readonly T[], nameOf: (entry: T) => string): string[] {
  const seen = new Set<string>();
  return entries.flatMap((entry, at) => {
    const name = nameOf(entry);
    if (seen.has(name)) return [`${where}.${at}: ${name} appears twice`];
    seen.add(name);
    return [];
  });
}

async function readText(path: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    throw invalid(path, [`can't be read (${messageOf(error)})`]);
  }
}

function parse(path: string, text: string): AppsFile {
  const result = fileSchema.safeParse(readYaml(path, text) ?? {});
  if (result.success) return result.data;
  throw invalid(
    path,
    result.error.issues.map((issue) => `${issue.path.join(".") || "file"}: ${issue.message}`),
  );
}

/** @returns undefined for a file without content */
function readYaml(path: string, text: string): unknown {
  let documents: unknown[];
  try {
    documents = loadAll(text);
  } catch (error) {
    if (!(error instanceof YAMLException)) throw error;
    throw invalid(path, [error.message]);
  }
  if (documents.length > 1) throw invalid(path, [`found ${documents.length} YAML documents, wanted one`]);
  return documents[0];
}

function invalid(path: string, problems: readonly string[]): AppError {
  return new AppError("APPS_FILE_INVALID", `POSTHORN_APPS_FILE ${path}:\n${problems.map((line) => `  ${line}`).join("\n")}`);
}
