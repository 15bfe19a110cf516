/** The part of the registry that makes, changes and removes installations. */
import { AppError } from "../model/app-error.ts";
import { toRfc3339 } from "../model/clock.ts";
import type { InstallationRecord } from "../model/stored-records.ts";
import { checkName, checkSize, createCheckUrl } from "./body-checks.ts";
import { mergePatch } from "./merge-patch.ts";
import { toInstallation } from "./opened-records.ts";
import { createRecordAccess, type PutResult, type Revised } from "./record-access.ts";
import { changedMembers, type InstallationMembers, installationMembers, membersOfInstallation, sealInstallation } from "./record-bodies.ts";
import { appKey, installationKey } from "./record-kinds.ts";
import { installationExceeds } from "./record-limits.ts";
import { installationTag, type Precondition } from "./record-tag.ts";
import { type InstallationBody, installationBody, parseRecord, RecordInvalid } from "./records.ts";
import type { RegistryDependencies, RegistryOptions } from "./registry-dependencies.ts";

export interface InstallationRegistry {
  /** As putApp: of one app in one organization there is one, unless the body has `allow_duplicate`. */
  putInstallation(uuid: string, body: unknown, precondition: Precondition): Promise<PutResult<InstallationRecord>>;
  patchInstallation(uuid: string, patch: unknown, precondition: Precondition): Promise<PutResult<InstallationRecord>>;
  getInstallation(uuid: string): Promise<Revised<InstallationRecord>>;
  deleteInstallation(uuid: string, precondition: Precondition): Promise<void>;
}

interface Asked {
  readonly body: InstallationBody;
  readonly isPatch: boolean;
}

export function createInstallationRecords(
  { store, kinds, index, secretBox, refusesUrl, clock }: RegistryDependencies,
  { limits }: Pick<RegistryOptions, "limits">,
): InstallationRegistry {
  const installations = store.recordsOf(kinds.installations);
  const access = createRecordAccess(installations, installationTag);
  const checkUrl = createCheckUrl(refusesUrl);
  const membersOf = (record: InstallationRecord): InstallationMembers => membersOfInstallation(toInstallation(record, secretBox));

  /** One that was removed and comes back neither uses the numbers of its status events again nor is judged by its old counters. */
  const installedNow = async (uuid: string, now: string): Promise<Omit<InstallationRecord, keyof InstallationMembers>> => {
    const removedAt = await installations.deletedAt(installationKey(uuid));
    const earlierLife = removedAt > 0 ? { n: removedAt, counters_stale: true as const } : {};
    return { uuid, status: "active", created_at: now, ...earlierLife };
  };

  /** REGISTRY-2. @throws AppError CONFLICT */
  const refuseDuplicate = (uuid: string, { app, organization_id: organization }: InstallationMembers, before: number): void => {
    const other = index.placedAt(app, organization).find((placed) => placed.uuid !== uuid && placed.revision < before);
    if (other === undefined) return;
    throw new AppError(
      "CONFLICT",
      `app ${app} is installed in organization ${organization} already (installation ${other.uuid}); allow_duplicate: true installs it again`,
    );
  };

  const isThere = async (app: string): Promise<boolean> => (await store.readRecord(appKey(app))) !== null;

  const takeBack = async ({
    record,
    revision,
    before,
  }: {
    record: InstallationRecord;
    revision: number;
    before: InstallationRecord | null;
  }) => {
    const key = installationKey(record.uuid);
    if (before === null) await store.reached(await store.deleteRecord(key));
    // If somebody has changed it in between, it is theirs.
    else await installations.update(key, before, revision);
  };

  const withBody = async (what: string, uuid: string, { body, isPatch }: Asked, before: InstallationRecord | null) => {
    checkName(what, "uuid", uuid, body.uuid);
    const opened = before && toInstallation(before, secretBox);
    const members = installationMembers(what, body, opened);
    checkSize(what, installationExceeds(members, limits));
    await checkUrl(what, members.webhook_url, isPatch ? opened?.webhookUrl : null);
    if (!(await isThere(body.app))) throw noSuchApp(what, body.app);
    if (before !== null && before.app !== body.app) {
      const message = `${what}: app: found ${JSON.stringify(body.app)}, it is an installation of ${JSON.stringify(before.app)}`;
      throw new AppError("CONFLICT", message);
    }
    return members;
  };

  const change = async (
    uuid: string,
    precondition: Precondition,
    askedOf: (before: InstallationRecord | null) => Asked,
  ): Promise<PutResult<InstallationRecord>> => {
    const what = `installation ${uuid}`;
    let isPlaced = false;
    const result = await access.change(installationKey(uuid), precondition, {
      async next(before) {
        const asked = askedOf(before);
        const members = await withBody(what, uuid, asked, before);
        isPlaced = !asked.body.allow_duplicate && before?.organization_id !== members.organization_id;
        if (isPlaced) refuseDuplicate(uuid, members, Number.POSITIVE_INFINITY);
        const now = toRfc3339(clock.now());
        const stored = sealInstallation(uuid, members, before, secretBox);
        return { ...(before ?? (await installedNow(uuid, now))), ...stored, updated_at: now };
      },
      changed: (before, after) => changedMembers(before && membersOf(before), membersOf(after)),
    });
    const { record, created, revision } = result;
    try {
      if (isPlaced) refuseDuplicate(uuid, membersOf(record), revision);
      // REGISTRY-3
      if (created && !(await isThere(record.app))) throw noSuchApp(what, record.app);
    } catch (error) {
      await takeBack(result);
      throw error;
    }
    return result;
  };

  return {
    putInstallation: (uuid, raw, precondition) =>
      change(uuid, precondition, () => ({ body: parseRecord(installationBody, raw, `installation ${uuid}`), isPatch: false })),

    patchInstallation: (uuid, patch, precondition) =>
      change(uuid, precondition, (before) => {
        const what = `installation ${uuid}`;
        if (before === null) throw new AppError("NOT_FOUND", `no ${what}`);
        const body = parseRecord(installationBody, mergePatch(membersOf(before), patch), what);
        if (body.status === undefined || body.status === before.status) return { body, isPatch: true };
        const message = `found ${JSON.stringify(body.status)}, it is ${before.status} and changes only by enable, disable, the health rule and recovery`;
        throw new RecordInvalid(what, [{ path: "status", message }]);
      }),

    getInstallation: (uuid) => access.read(installationKey(uuid), `installation ${uuid}`),

    async deleteInstallation(uuid, precondition) {
      await access.checkFound(installationKey(uuid), `installation ${uuid}`, precondition);
      await store.reached(await store.deleteRecord(installationKey(uuid)));
    },
  };
}

function noSuchApp(what: string, app: string): RecordInvalid {
  return new RecordInvalid(what, [{ path: "app", message: `found ${JSON.stringify(app)}, wanted an app that exists` }]);
}
