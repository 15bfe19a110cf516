/**
 * POSTHORN_APPS_FILE: apps and installations from YAML, put into the registry at every start. It adds and updates; it
 * never removes a record, resets a secret or changes a status.
 */
import { readFile } from "node:fs/promises";
import { parseDocument } from "yaml";
import { z } from "zod";
import { AppError, messageOf } from "../model/app-error.ts";
import { NO_PRECONDITION } from "./record-tag.ts";
import { appBody, installationBody, slugParameter, uuidParameter } from "./records.ts";
import type { Registry } from "./registry.ts";

const fileSchema = z.strictObject({
  apps: z.array(appBody.required({ slug: true }).extend({ slug: slugParameter })).default([]),
  installations: z.array(installationBody.extend({ uuid: uuidParameter })).default([]),
});

/** @throws AppError APPS_FILE_INVALID with every problem. */
export async function loadAppsFile(path: string, registry: Registry): Promise<{ apps: number; installations: number }> {
  const { apps, installations } = parse(path, await readText(path));
  const problems: string[] = [];
  const put = async (where: string, write: () => Promise<unknown>): Promise<void> => {
    try {
      await write();
    } catch (error) {
      if (!(error instanceof AppError) || error.retryable) throw error;
      problems.push(`${where}: ${error.message}`);
    }
  };
  problems.push(...twice("apps", apps, ({ slug }) => slug), ...twice("installations", installations, ({ uuid }) => uuid));
  if (problems.length > 0) throw invalid(path, problems);
  for (const [at, app] of apps.entries()) await put(`apps.${at}`, () => registry.putApp(app.slug, app, NO_PRECONDITION));
  for (const [at, installation] of installations.entries()) {
    await put(`installations.${at}`, () => registry.putInstallation(installation.uuid, installation, NO_PRECONDITION));
  }
  if (problems.length > 0) throw invalid(path, problems);
  return { apps: apps.length, installations: installations.length };
}

/** Of two entries of one name nobody can say which is meant. */
function twice<T>(where: string, entries: readonly T[], nameOf: (entry: T) => string): string[] {
  const names = entries.map(nameOf);
  return names.flatMap((name, at) => (names.indexOf(name) < at ? [`${where}.${at}: ${name} is there twice`] : []));
}

async function readText(path: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    throw invalid(path, [`can't be read (${messageOf(error)})`]);
  }
}

function parse(path: string, text: string): z.output<typeof fileSchema> {
  const document = parseDocument(text, { prettyErrors: true });
  if (document.errors.length > 0)
    throw invalid(
      path,
      document.errors.map((error) => error.message),
    );
  const result = fileSchema.safeParse(document.toJS() ?? {});
  if (result.success) return result.data;
  throw invalid(
    path,
    result.error.issues.map((issue) => `${issue.path.join(".") || "file"}: ${issue.message}`),
  );
}

function invalid(path: string, problems: readonly string[]): AppError {
  return new AppError("APPS_FILE_INVALID", `POSTHORN_APPS_FILE ${path}:\n${problems.map((line) => `  ${line}`).join("\n")}`);
}
