/**
 * Apps and installations: what people and the API do with them. Every change is a compare-and-set on the bucket's record
 * and returns once this replica's index has it. Members that this version does not know are kept.
 *
 * REGISTRY-2  Of two installations of one app in one organization, made at the same time on any replicas, the one whose record has
 *     the lower revision stays: each call looks, once its index has its own revision, for one that came before, and takes its own
 *     change back if there is one.
 * REGISTRY-3  An installation never outlives its app: a call that makes one looks for the app again afterwards, and the removal
 *     of an app removes the installations that its index has once it has the removal.
 */
import { randomBytes } from "node:crypto";
import { isDeepStrictEqual } from "node:util";
import { AppError } from "../model/app-error.ts";
import { type Clock, toRfc3339 } from "../model/clock.ts";
import { REDACTED } from "../model/redacted-url.ts";
import { epochMsOf } from "../model/rfc3339.ts";
import type { InstallationRecord } from "../model/stored-records.ts";
import { mergePatch } from "./merge-patch.ts";
import { toApp, toInstallation } from "./opened-records.ts";
import {
  type AppMembers,
  appMembers,
  changedMembers,
  type InstallationMembers,
  installationMembers,
  membersOfApp,
  membersOfInstallation,
  sealApp,
  sealInstallation,
} from "./record-bodies.ts";
import { appKey, installationKey, type RegistryKinds } from "./record-kinds.ts";
import { appExceeds, installationExceeds, type RecordLimits } from "./record-limits.ts";
import type { RecordProblem } from "./record-problem.ts";
import { checkPrecondition, installationTag, NO_PRECONDITION, type Precondition } from "./record-tag.ts";
import {
  type AppBody,
  appBody,
  type InstallationBody,
  installationBody,
  parseRecord,
  RecordInvalid,
  type RefusesUrl,
  type StoredApp,
} from "./records.ts";
import type { RegistryIndex } from "./registry-index.ts";
import type { SecretBox } from "./secret-box.ts";
import type { FoundRecord, Records, RegistryStore } from "./store.ts";

export interface Revised<T> {
  readonly record: T;
  readonly revision: number;
  /** record-tag.ts. */
  readonly tag: string;
  /** Why the newest value can't be read, so that an earlier one is in force; null as a rule. */
  readonly problem: string | null;
}

export interface PutResult<T> extends Revised<T> {
  readonly created: boolean;
  /** Names of the members that were changed. */
  readonly changed: readonly string[];
}

export interface RotatedSecret {
  readonly clientSecret: string;
  /** RFC 3339; until then webhooks carry both signatures. */
  readonly previousValidUntil: string;
}

type PutApp = PutResult<StoredApp> & {
  /** Only when the app was made now. */
  readonly clientSecret: string | null;
};

export interface Registry {
  /** A member that the body does not have gets its default; the client secret stays. @throws AppError RECORD_INVALID, CONFLICT, PRECONDITION_FAILED */
  putApp(slug: string, body: unknown, precondition: Precondition): Promise<PutApp>;
  /** @param patch JSON merge patch @throws AppError NOT_FOUND, and as putApp */
  patchApp(slug: string, patch: unknown, precondition: Precondition): Promise<PutResult<StoredApp>>;
  getApp(slug: string): Promise<Revised<StoredApp>>;
  /** Its installations go with it. */
  deleteApp(slug: string, precondition: Precondition): Promise<void>;
  rotateSecret(slug: string): Promise<RotatedSecret>;
  putInstallation(uuid: string, body: unknown, precondition: Precondition): Promise<PutResult<InstallationRecord>>;
  patchInstallation(uuid: string, patch: unknown, precondition: Precondition): Promise<PutResult<InstallationRecord>>;
  getInstallation(uuid: string): Promise<Revised<InstallationRecord>>;
  deleteInstallation(uuid: string, precondition: Precondition): Promise<void>;
}

export interface RegistryDependencies {
  readonly store: RegistryStore;
  readonly kinds: RegistryKinds;
  readonly index: RegistryIndex;
  readonly secretBox: SecretBox;
  readonly refusesUrl: RefusesUrl;
  readonly clock: Clock;
}

export interface RegistryOptions {
  /** How long the secret before a rotation is still signed with. */
  readonly secretOverlapMs: number;
  readonly limits: RecordLimits;
}

const MAX_TRIES = 20;

/** An app's record is written for callers only: its revision says it all. */
type TagOf<T> = (record: T, revision: number) => string;
const appTag: TagOf<StoredApp> = (_record, revision) => String(revision);

/** What to make of the record as it is in force; null when there is none. */
interface Change<T> {
  readonly next: (current: T | null) => T | Promise<T>;
  readonly changed: (before: T | null, after: T) => readonly string[];
}

export function createRegistry(
  { store, kinds, index, secretBox, refusesUrl, clock }: RegistryDependencies,
  { secretOverlapMs, limits }: RegistryOptions,
): Registry {
  const apps = store.recordsOf(kinds.apps);
  const installations = store.recordsOf(kinds.installations);

  const tagOfFound = <T>({ record, revision }: FoundRecord<T>, tagOf: TagOf<T>): string =>
    record === null ? String(revision) : tagOf(record, revision);

  /** Runs until the compare-and-set wins. A record that can't be read is written over. */
  const change = async <T extends object>(
    { key, records, tagOf }: { readonly key: string; readonly records: Records<T>; readonly tagOf: TagOf<T> },
    precondition: Precondition,
    { next, changed }: Change<T>,
  ): Promise<PutResult<T> & { readonly before: T | null }> => {
    for (let tries = 0; tries < MAX_TRIES; tries++) {
      const found = await records.read(key);
      const before = found?.record ?? null;
      checkPrecondition(key, precondition, found && tagOfFound(found, tagOf));
      const after = await next(before);
      const made = { before, problem: null, created: before === null, changed: changed(before, after) };
      if (found !== null && before !== null && found.problem === null && isSame(before, after)) {
        return { ...made, record: before, revision: found.revision, tag: tagOf(before, found.revision), changed: [] };
      }
      const revision = found === null ? await records.create(key, after) : await records.update(key, after, found.revision);
      if (revision === "conflict") continue;
      await store.reached(revision);
      return { ...made, record: after, revision, tag: tagOf(after, revision) };
    }
    throw new AppError("CONFLICT", `record ${key} kept being changed by others`, { retryable: true });
  };

  const read = async <T>(records: Records<T>, key: string, what: string, tagOf: TagOf<T>): Promise<Revised<T>> => {
    const found = await records.read(key);
    if (found === null) throw new AppError("NOT_FOUND", `no ${what}`);
    const { record, revision, problem } = found;
    if (record === null) throw new AppError("CONFLICT", `the record of ${what} can't be read (${problem}); PUT writes it anew`);
    return { record, revision, tag: tagOf(record, revision), problem };
  };

  /** @throws AppError NOT_FOUND, PRECONDITION_FAILED */
  const checkFound = async <T>(records: Records<T>, key: string, what: string, tagOf: TagOf<T>, precondition: Precondition) => {
    const found = await records.read(key);
    if (found === null) throw new AppError("NOT_FOUND", `no ${what}`);
    checkPrecondition(key, precondition, tagOfFound(found, tagOf));
  };

  const getApp = (slug: string): Promise<Revised<StoredApp>> => read(apps, appKey(slug), `app ${slug}`, appTag);
  const getInstallation = (uuid: string): Promise<Revised<InstallationRecord>> =>
    read(installations, installationKey(uuid), `installation ${uuid}`, installationTag);

  /** @param before what the record has: it was allowed once, and is not in the way of other changes. */
  const checkUrl = async (what: string, url: string | null, before: string | null = null): Promise<void> => {
    const problem = url === null || url === before ? null : await refusesUrl(url);
    if (problem !== null) {
      throw new RecordInvalid(what, [{ path: "webhook_url", message: `found ${JSON.stringify(withoutUser(url ?? ""))}, ${problem}` }]);
    }
  };

  /** Later than that of an app of the same slug that was removed: model/app.ts. */
  const appCreatedAt = async (slug: string): Promise<string> => {
    const last = await apps.readDeleted(appKey(slug));
    return toRfc3339(Math.max(clock.now(), (epochMsOf(last?.created_at ?? "") || 0) + 1));
  };

  /** One that was removed and comes back neither uses the numbers of its status events again nor is judged by its old counters. */
  const installedNow = async (uuid: string, now: string): Promise<Omit<InstallationRecord, keyof InstallationMembers>> => {
    const removedAt = await installations.deletedAt(installationKey(uuid));
    const earlierLife = removedAt > 0 ? { n: removedAt, counters_stale: true as const } : {};
    return { uuid, status: "active", created_at: now, ...earlierLife };
  };

  /** Left behind they would come to life again with the next app of that name. */
  const removeStateOf = async (slug: string): Promise<void> => {
    for (const key of [`circuit.${slug}`, `hold.${slug}`, `debug.app.${slug}`]) {
      if ((await store.readRecord(key)) !== null) await store.deleteRecord(key);
    }
  };

  const removeInstallationsOf = async (slug: string): Promise<void> => {
    for (const { app, uuid } of [...index.installations()]) if (app === slug) await store.deleteRecord(installationKey(uuid));
  };

  const rotated = (record: StoredApp, clientSecret: string, now: number): StoredApp => ({
    ...record,
    client_secret: secretBox.seal(record.slug, clientSecret),
    previous_secret: { value: record.client_secret, valid_until: toRfc3339(now + secretOverlapMs) },
    updated_at: toRfc3339(now),
  });

  const openedApp = (record: StoredApp | null) => record && toApp(record, secretBox);
  const openedInstallation = (record: InstallationRecord | null) => record && toInstallation(record, secretBox);

  const readAppBody = (what: string, slug: string, raw: unknown): AppBody => {
    const body = parseRecord(appBody, raw, what);
    checkName(what, "slug", slug, body.slug);
    return body;
  };

  const changedOfApp = (before: StoredApp | null, after: StoredApp): string[] => {
    const of = (record: StoredApp | null) =>
      record && { ...membersOfApp(toApp(record, secretBox)), client_secret: toApp(record, secretBox).clientSecret };
    return changedMembers(of(before), of(after) ?? {});
  };

  /** @param members its record is to have. @param given the client secret that it is to have; undefined: as it is */
  const nextApp = async (slug: string, members: AppMembers, before: StoredApp | null, given: string | undefined, made: string) => {
    const what = `app ${slug}`;
    // A name that is not given, and is the slug, has the slug's limit.
    checkSize(what, appExceeds(members.name === slug ? { ...members, name: "" } : members, limits));
    const now = clock.now();
    const stored = { ...sealApp(slug, members, before, secretBox), slug, updated_at: toRfc3339(now) };
    if (before === null) {
      const createdAt = await appCreatedAt(slug);
      return { ...stored, client_secret: secretBox.seal(slug, made), created_at: createdAt, updated_at: createdAt };
    }
    const after: StoredApp = { ...before, ...stored };
    return given === undefined || secretBox.open(slug, before.client_secret) === given ? after : rotated(after, given, now);
  };

  const changeApp = (slug: string, precondition: Precondition, next: (before: StoredApp | null) => Promise<StoredApp>) =>
    change({ key: appKey(slug), records: apps, tagOf: appTag }, precondition, { next, changed: changedOfApp });

  /** REGISTRY-2. @throws AppError CONFLICT */
  const refuseDuplicate = (uuid: string, { app, organization_id: organization }: InstallationMembers, before: number): void => {
    const other = index.placedAt(app, organization).find((placed) => placed.uuid !== uuid && placed.revision < before);
    if (other === undefined) return;
    throw new AppError(
      "CONFLICT",
      `app ${app} is installed in organization ${organization} already (installation ${other.uuid}); allow_duplicate: true installs it again`,
    );
  };

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

  const changeInstallation = async (
    uuid: string,
    precondition: Precondition,
    bodyOf: (before: InstallationRecord | null) => InstallationBody,
  ): Promise<PutResult<InstallationRecord>> => {
    const what = `installation ${uuid}`;
    let checksDuplicates = false;
    const next = async (before: InstallationRecord | null): Promise<InstallationRecord> => {
      const body = bodyOf(before);
      checkName(what, "uuid", uuid, body.uuid);
      const opened = openedInstallation(before);
      const members = installationMembers(what, body, opened);
      checkSize(what, installationExceeds(members, limits));
      await checkUrl(what, members.webhook_url, opened?.webhookUrl);
      if ((await store.readRecord(appKey(body.app))) === null) throw noSuchApp(what, body.app);
      if (before !== null && before.app !== body.app) {
        const message = `${what}: app: found ${JSON.stringify(body.app)}, it is an installation of ${JSON.stringify(before.app)}`;
        throw new AppError("CONFLICT", message);
      }
      checksDuplicates = !body.allow_duplicate && before?.organization_id !== members.organization_id;
      if (checksDuplicates) refuseDuplicate(uuid, members, Number.POSITIVE_INFINITY);
      const now = toRfc3339(clock.now());
      const stored = sealInstallation(uuid, members, before, secretBox);
      return { ...(before ?? (await installedNow(uuid, now))), ...stored, updated_at: now };
    };
    const changed = (before: InstallationRecord | null, after: InstallationRecord): string[] => {
      const of = (record: InstallationRecord | null) => record && membersOfInstallation(toInstallation(record, secretBox));
      return changedMembers(of(before), of(after) ?? {});
    };
    const result = await change({ key: installationKey(uuid), records: installations, tagOf: installationTag }, precondition, {
      next,
      changed,
    });
    const { record, created, revision } = result;
    try {
      if (checksDuplicates) refuseDuplicate(uuid, membersOfInstallation(toInstallation(record, secretBox)), revision);
      // REGISTRY-3
      if (created && (await store.readRecord(appKey(record.app))) === null) throw noSuchApp(what, record.app);
    } catch (error) {
      await takeBack(result);
      throw error;
    }
    return result;
  };

  return {
    async putApp(slug, raw, precondition) {
      const what = `app ${slug}`;
      const body = readAppBody(what, slug, raw);
      const clientSecret = body.client_secret ?? randomBytes(32).toString("hex");
      // A late failure may have opened a circuit after an earlier app of that name was removed.
      if ((await store.readRecord(appKey(slug))) === null) await removeStateOf(slug);
      const result = await changeApp(slug, precondition, async (before) => {
        const opened = openedApp(before);
        const members = appMembers(what, slug, body, opened);
        await checkUrl(what, members.webhook_url, opened?.webhookUrl);
        return nextApp(slug, members, before, body.client_secret, clientSecret);
      });
      return { ...result, clientSecret: result.created ? clientSecret : null };
    },

    patchApp(slug, patch, precondition) {
      const what = `app ${slug}`;
      return changeApp(slug, precondition, async (before) => {
        const opened = openedApp(before);
        if (opened === null) throw new AppError("NOT_FOUND", `no ${what}`);
        const body = readAppBody(what, slug, mergePatch(membersOfApp(opened), patch));
        const members = appMembers(what, slug, body, opened);
        await checkUrl(what, members.webhook_url, opened.webhookUrl);
        return nextApp(slug, members, before, body.client_secret, "");
      });
    },

    getApp,

    async deleteApp(slug, precondition) {
      await checkFound(apps, appKey(slug), `app ${slug}`, appTag, precondition);
      await removeInstallationsOf(slug);
      await removeStateOf(slug);
      await store.reached(await store.deleteRecord(appKey(slug)));
      // REGISTRY-3
      await removeInstallationsOf(slug);
    },

    async rotateSecret(slug) {
      await getApp(slug);
      const clientSecret = randomBytes(32).toString("hex");
      const { record } = await changeApp(slug, NO_PRECONDITION, async (before) => {
        if (before === null) throw new AppError("NOT_FOUND", `no app ${slug}`);
        return rotated(before, clientSecret, clock.now());
      });
      return { clientSecret, previousValidUntil: record.previous_secret?.valid_until ?? toRfc3339(clock.now()) };
    },

    putInstallation: (uuid, raw, precondition) =>
      changeInstallation(uuid, precondition, () => parseRecord(installationBody, raw, `installation ${uuid}`)),

    patchInstallation: (uuid, patch, precondition) =>
      changeInstallation(uuid, precondition, (before) => {
        const what = `installation ${uuid}`;
        const opened = openedInstallation(before);
        if (opened === null) throw new AppError("NOT_FOUND", `no ${what}`);
        const body = parseRecord(installationBody, mergePatch(membersOfInstallation(opened), patch), what);
        if (body.status !== undefined && body.status !== opened.status) {
          const message = `found ${JSON.stringify(body.status)}, it is ${opened.status} and changes only by enable, disable, the health rule and recovery`;
          throw new RecordInvalid(what, [{ path: "status", message }]);
        }
        return body;
      }),

    getInstallation,

    async deleteInstallation(uuid, precondition) {
      await checkFound(installations, installationKey(uuid), `installation ${uuid}`, installationTag, precondition);
      await store.reached(await store.deleteRecord(installationKey(uuid)));
    },
  };
}

function noSuchApp(what: string, app: string): RecordInvalid {
  return new RecordInvalid(what, [{ path: "app", message: `found ${JSON.stringify(app)}, wanted an app that exists` }]);
}

function checkName(what: string, member: string, wanted: string, found: string | undefined): void {
  if (found === undefined || found === wanted) return;
  throw new RecordInvalid(what, [
    { path: member, message: `found ${JSON.stringify(found)}, wanted ${JSON.stringify(wanted)} as in the path` },
  ]);
}

function checkSize(what: string, problems: readonly RecordProblem[]): void {
  if (problems.length > 0) throw new RecordInvalid(what, problems);
}

/** Answers and logs are no place for a password. */
function withoutUser(url: string): string {
  return url.replace(/^([a-z]*:)?.*@/is, `$1${REDACTED}@`);
}

/** A PUT that changes nothing writes nothing. */
function isSame(before: object, after: object): boolean {
  // Through JSON, so that a member that is undefined is one that is not there.
  const withoutTime = (record: object): unknown => ({ ...(JSON.parse(JSON.stringify(record)) as object), updated_at: null });
  return isDeepStrictEqual(withoutTime(before), withoutTime(after));
}
