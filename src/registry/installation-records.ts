/** Creates, changes and deletes installations. */
import { AppError } from "../model/app-error.ts";
import { toRfc3339 } from "../model/clock.ts";
import type { InstallationRecord } from "../model/stored-records.ts";
import { checkName, checkSize, createCheckUrl } from "./body-checks.ts";
import { createInstallationRules } from "./installation-rules.ts";
import { mergePatch } from "./merge-patch.ts";
import { toInstallation } from "./opened-records.ts";
import { createRecordAccess, type PutResult, type Revised } from "./record-access.ts";
import { changedMembers, type InstallationMembers, installationMembers, membersOfInstallation, sealInstallation } from "./record-bodies.ts";
import { installationKey } from "./record-kinds.ts";
import { installationExceeds } from "./record-limits.ts";
import { installationTag, type Precondition } from "./record-tag.ts";
import { type InstallationBody, installationBody, parseRecord, RecordInvalid } from "./records.ts";
import type { RegistryDependencies, RegistryOptions } from "./registry-dependencies.ts";

export interface InstallationRegistry {
  /** As putApp. An app is installed once in an organization, unless the body has `allow_duplicate`. */
  putInstallation(uuid: string, body: unknown, precondition: Precondition): Promise<PutResult<InstallationRecord>>;
  patchInstallation(uuid: string, patch: unknown, precondition: Precondition): Promise<PutResult<InstallationRecord>>;
  getInstallation(uuid: string): Promise<Revised<InstallationRecord>>;
  deleteInstallation(uuid: string, precondition: Precondition): Promise<void>;
}

type Changed = PutResult<InstallationRecord> & { readonly before: InstallationRecord | null };

interface Asked {
  readonly body: InstallationBody;
  readonly isPatch: boolean;
}

export function createInstallationRecords(
  { store, kinds, index, secretBox, refusesUrl, clock }: RegistryDependencies,
  { limits, checksKnownUrls = true }: Pick<RegistryOptions, "limits" | "checksKnownUrls">,
): InstallationRegistry {
  const installations = store.recordsOf(kinds.installations);
  const access = createRecordAccess(installations, installationTag);
  const checkUrl = createCheckUrl(refusesUrl);
  const membersOf = (record: InstallationRecord): InstallationMembers => membersOfInstallation(toInstallation(record, secretBox));

  /** A deleted installation that is created again neither reuses the numbers of its status events nor keeps its old counters. */
  const installedNow = async (uuid: string, now: string): Promise<Omit<InstallationRecord, keyof InstallationMembers>> => {
    const removedAt = await installations.deletedAt(installationKey(uuid));
    const earlierLife = removedAt > 0 ? { n: removedAt, counters_stale: true as const } : {};
    return { uuid, status: "active", created_at: now, ...earlierLife };
  };

  const { checkUnique, checkAppExists } = createInstallationRules({ store, index });

  const undo = async ({ record, revision, before }: Changed): Promise<void> => {
    const key = installationKey(record.uuid);
    if (before === null) await store.reached(await store.deleteRecord(key));
    // On a conflict somebody else's change stays.
    else await installations.update(key, before, revision);
  };

  const withBody = async (what: string, uuid: string, { body, isPatch }: Asked, before: InstallationRecord | null) => {
    checkName(what, "uuid", uuid, body.uuid);
    const opened = before && toInstallation(before, secretBox);
    const members = installationMembers(what, body, opened);
    checkSize(what, installationExceeds(members, limits));
    await checkUrl(what, members.webhook_url, isPatch || !checksKnownUrls ? opened?.webhookUrl : null);
    await checkAppExists(what, body.app);
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
        if (isPlaced) checkUnique(uuid, members, Number.POSITIVE_INFINITY);
        const now = toRfc3339(clock.now());
        const stored = sealInstallation(uuid, members, before, secretBox);
        return { ...(before ?? (await installedNow(uuid, now))), ...stored, updated_at: now };
      },
      changed: (before, after) => changedMembers(before && membersOf(before), membersOf(after)),
    });
    const { record, created, revision } = result;
    try {
      if (isPlaced) checkUnique(uuid, membersOf(record), revision);
      // REGISTRY-2
      if (created) await checkAppExists(what, record.app);
    } catch (error) {
      await undo(result);
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
