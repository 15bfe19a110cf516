/**
 * Apps and installations: what people and the API do with them. Every change is a compare-and-set on the bucket's record
 * and returns once this replica's index has it. Members that this version does not know are kept.
 */
import { randomBytes } from "node:crypto";
import { isDeepStrictEqual } from "node:util";
import type { App, Installation } from "../model/app.ts";
import { AppError, messageOf } from "../model/app-error.ts";
import { type Clock, toRfc3339 } from "../model/clock.ts";
import type { Logger } from "../model/logger.ts";
import { appExceeds, installationExceeds, type RecordLimits } from "./record-limits.ts";
import { checkPrecondition, installationTag, NO_PRECONDITION, type Precondition } from "./record-tag.ts";
import {
  type AppBody,
  appBody,
  type InstallationBody,
  installationBody,
  parseRecord,
  RecordInvalid,
  type RecordProblem,
  type RefusesUrl,
  type StoredApp,
  type StoredInstallation,
} from "./records.ts";
import type { RegistryIndex } from "./registry-index.ts";
import type { SecretBox } from "./secret-box.ts";
import type { RegistryStore } from "./store.ts";

export interface Revised<T> {
  readonly record: T;
  readonly revision: number;
  /** record-tag.ts. */
  readonly tag: string;
}

export interface PutResult<T> extends Revised<T> {
  readonly created: boolean;
}

export interface RotatedSecret {
  readonly clientSecret: string;
  /** RFC 3339; until then webhooks carry both signatures. */
  readonly previousValidUntil: string;
}

export interface Registry {
  /** `clientSecret` only when the app was made now. @throws AppError RECORD_INVALID, CONFLICT, PRECONDITION_FAILED */
  putApp(slug: string, body: unknown, precondition: Precondition): Promise<PutResult<StoredApp> & { clientSecret: string | null }>;
  getApp(slug: string): Promise<Revised<StoredApp>>;
  /** Its installations go with it. */
  deleteApp(slug: string, precondition: Precondition): Promise<void>;
  rotateSecret(slug: string): Promise<RotatedSecret>;
  putInstallation(uuid: string, body: unknown, precondition: Precondition): Promise<PutResult<StoredInstallation>>;
  getInstallation(uuid: string): Promise<Revised<StoredInstallation>>;
  deleteInstallation(uuid: string, precondition: Precondition): Promise<void>;
}

export interface RegistryDependencies {
  readonly store: RegistryStore;
  readonly index: RegistryIndex;
  readonly secretBox: SecretBox;
  readonly refusesUrl: RefusesUrl;
  readonly clock: Clock;
  readonly logger: Logger;
}

export interface RegistryOptions {
  /** How long the secret before a rotation is still signed with. */
  readonly secretOverlapMs: number;
  readonly limits: RecordLimits;
}

export interface IndexFeed {
  /** What is wrong with app records whose secret can't be read: one line each. */
  unreadable(): readonly string[];
  /** Apps whose secrets are not stored as they would be today. */
  outdated(): number;
}

const MAX_TRIES = 20;

export const appKey = (slug: string): string => `app.${slug}`;
export const installationKey = (uuid: string): string => `installation.${uuid}`;

/** An app's record is written for callers only: its revision says it all. */
type TagOf<T> = (record: T, revision: number) => string;
const appTag: TagOf<StoredApp> = (_record, revision) => String(revision);

/**
 * Feeds the index from the store; call before the store starts. An app whose new record has a secret that can't be read
 * stays as it was: nothing may be signed in its name with a wrong secret, and its deliveries must not be taken for
 * those of an app that is gone.
 */
export function feedIndex({ store, index, secretBox, logger }: RegistryDependencies): IndexFeed {
  const unreadable = new Map<string, string>();
  const outdated = new Set<string>();
  store.onRecord("app.", (key, value) => {
    const slug = key.slice("app.".length);
    unreadable.delete(slug);
    outdated.delete(slug);
    if (value === null) return index.removeApp(slug);
    const record = JSON.parse(value) as StoredApp;
    try {
      index.putApp(toApp(record, secretBox));
    } catch (error) {
      unreadable.set(slug, messageOf(error));
      throw error;
    }
    const stored = [record.client_secret, record.previous_secret?.value ?? record.client_secret];
    if (!stored.every((secret) => secretBox.isCurrent(secret))) outdated.add(slug);
  });
  store.onRecord("installation.", (key, value) => {
    if (value === null) return index.removeInstallation(key.slice("installation.".length));
    index.putInstallation(toInstallation(JSON.parse(value) as StoredInstallation));
  });
  store.onCurrent(() => logger.info(index.counts(), "registry is current"));
  return { unreadable: () => [...unreadable.values()], outdated: () => outdated.size };
}

export function createRegistry(
  { store, index, secretBox, refusesUrl, clock }: RegistryDependencies,
  { secretOverlapMs, limits }: RegistryOptions,
): Registry {
  /** Runs until the compare-and-set wins; `next` gets null when there is no record. */
  const change = async <T extends object>(
    key: string,
    tagOf: TagOf<T>,
    precondition: Precondition,
    next: (current: T | null) => T | Promise<T>,
  ): Promise<PutResult<T>> => {
    const result = (record: T, revision: number, created: boolean) => ({ record, revision, tag: tagOf(record, revision), created });
    for (let tries = 0; tries < MAX_TRIES; tries++) {
      const found = await store.readRecord(key);
      const before = found && (JSON.parse(found.value) as T);
      checkPrecondition(key, precondition, found && before && tagOf(before, found.revision));
      const after = await next(before);
      const value = JSON.stringify(after);
      if (found !== null && before !== null && isSame(before, after)) return result(before, found.revision, false);
      const revision = found === null ? await store.createRecord(key, value) : await store.updateRecord(key, value, found.revision);
      if (revision === "conflict") continue;
      await store.reached(revision);
      return result(after, revision, found === null);
    }
    throw new AppError("CONFLICT", `record ${key} kept being changed by others`, { retryable: true });
  };

  const read = async <T>(key: string, what: string, tagOf: TagOf<T>): Promise<Revised<T>> => {
    const found = await store.readRecord(key);
    if (found === null) throw new AppError("NOT_FOUND", `no ${what}`);
    const record = JSON.parse(found.value) as T;
    return { record, revision: found.revision, tag: tagOf(record, found.revision) };
  };

  const getApp = (slug: string): Promise<Revised<StoredApp>> => read(appKey(slug), `app ${slug}`, appTag);
  const getInstallation = (uuid: string): Promise<Revised<StoredInstallation>> =>
    read(installationKey(uuid), `installation ${uuid}`, installationTag);

  const checkUrl = async (path: string, what: string, url: string | null | undefined): Promise<void> => {
    const problem = url == null ? null : await refusesUrl(url);
    if (problem !== null) throw new RecordInvalid(what, [{ path, message: `found ${JSON.stringify(withoutUser(url ?? ""))}, ${problem}` }]);
  };

  /** One that was removed and comes back neither uses the numbers of its status events again nor is judged by its old counters. */
  const installedNow = async (
    uuid: string,
    now: string,
  ): Promise<Omit<StoredInstallation, keyof InstallationBody> & { status: "active" }> => {
    const removedAt = await store.deletedAt(installationKey(uuid));
    const earlierLife = removedAt > 0 ? { n: removedAt, counters_stale: true as const } : {};
    return { status: "active", created_at: now, updated_at: now, ...earlierLife };
  };

  /** Left behind they would come to life again with the next app of that name. */
  const removeStateOf = async (slug: string): Promise<void> => {
    for (const key of [`circuit.${slug}`, `hold.${slug}`]) {
      if ((await store.readRecord(key)) !== null) await store.deleteRecord(key);
    }
  };

  const rotated = (record: StoredApp, clientSecret: string, now: number): StoredApp => ({
    ...record,
    client_secret: secretBox.seal(record.slug, clientSecret),
    previous_secret: { value: record.client_secret, valid_until: toRfc3339(now + secretOverlapMs) },
    updated_at: toRfc3339(now),
  });

  return {
    async putApp(slug, raw, precondition) {
      const what = `app ${slug}`;
      const { client_secret: given, ...body }: AppBody = parseRecord(appBody, raw, what);
      checkName(what, "slug", slug, body.slug);
      checkSize(what, appExceeds({ client_secret: given, ...body }, limits));
      await checkUrl("webhook_url", what, body.webhook_url);
      const clientSecret = given ?? randomBytes(32).toString("hex");
      // A late failure may have opened a circuit after an earlier app of that name was removed.
      if ((await store.readRecord(appKey(slug))) === null) await removeStateOf(slug);
      const result = await change(appKey(slug), appTag, precondition, (before) => {
        const now = clock.now();
        const members = { ...body, slug, name: body.name ?? slug, updated_at: toRfc3339(now) };
        if (before === null) return { ...members, client_secret: secretBox.seal(slug, clientSecret), created_at: toRfc3339(now) };
        const after = { ...before, ...members };
        return given === undefined || secretBox.open(slug, before.client_secret) === given ? after : rotated(after, given, now);
      });
      return { ...result, clientSecret: result.created ? clientSecret : null };
    },

    getApp,

    async deleteApp(slug, precondition) {
      checkPrecondition(appKey(slug), precondition, (await getApp(slug)).tag);
      const installations = [...index.installations()].filter(({ app }) => app === slug);
      for (const { uuid } of installations) await store.deleteRecord(installationKey(uuid));
      await removeStateOf(slug);
      await store.reached(await store.deleteRecord(appKey(slug)));
    },

    async rotateSecret(slug) {
      await getApp(slug);
      const clientSecret = randomBytes(32).toString("hex");
      const { record } = await change(appKey(slug), appTag, NO_PRECONDITION, (before) => {
        if (before === null) throw new AppError("NOT_FOUND", `no app ${slug}`);
        return rotated(before, clientSecret, clock.now());
      });
      return { clientSecret, previousValidUntil: record.previous_secret?.valid_until ?? record.updated_at };
    },

    async putInstallation(uuid, raw, precondition) {
      const what = `installation ${uuid}`;
      const body: InstallationBody = parseRecord(installationBody, raw, what);
      checkName(what, "uuid", uuid, body.uuid);
      checkSize(what, installationExceeds(body, limits));
      await checkUrl("webhook_url", what, body.webhook_url);
      if ((await store.readRecord(appKey(body.app))) === null) {
        throw new RecordInvalid(what, [{ path: "app", message: `found ${JSON.stringify(body.app)}, wanted an app that exists` }]);
      }
      return change(installationKey(uuid), installationTag, precondition, async (before) => {
        if (before !== null && before.app !== body.app) {
          throw new AppError(
            "CONFLICT",
            `${what}: app: found ${JSON.stringify(body.app)}, it is an installation of ${JSON.stringify(before.app)}`,
          );
        }
        const now = toRfc3339(clock.now());
        const { status: _ignored, ...members } = { ...body, uuid };
        return { ...(before ?? (await installedNow(uuid, now))), ...members, updated_at: now };
      });
    },

    getInstallation,

    async deleteInstallation(uuid, precondition) {
      checkPrecondition(installationKey(uuid), precondition, (await getInstallation(uuid)).tag);
      await store.reached(await store.deleteRecord(installationKey(uuid)));
    },
  };
}

export function toApp(record: StoredApp, secretBox: SecretBox): App {
  const previous = record.previous_secret;
  return {
    slug: record.slug,
    name: record.name,
    webhookUrl: record.webhook_url,
    status: record.status,
    events: record.events,
    headers: record.headers,
    timeoutMs: record.timeout_ms ?? null,
    retryScheduleMs: record.retry_schedule_s?.map((seconds) => Math.round(seconds * 1000)) ?? null,
    maxInFlight: record.max_in_flight ?? null,
    orderBy: record.order_by ?? (record.ordered ? "app" : "none"),
    onExhausted: record.on_exhausted ?? "continue",
    clientSecret: secretBox.open(record.slug, record.client_secret),
    previousSecret: previous ? { value: secretBox.open(record.slug, previous.value), validUntil: Date.parse(previous.valid_until) } : null,
  };
}

export function toInstallation(record: StoredInstallation): Installation {
  return {
    uuid: record.uuid,
    app: record.app,
    organizationId: record.organization_id,
    projectIds: record.project_ids,
    status: record.status,
    webhookUrl: record.webhook_url ?? null,
  };
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
  return url.replace(/^([a-z]*:)?.*@/is, "$1[redacted]@");
}

/** A PUT that changes nothing writes nothing. */
function isSame(before: object, after: object): boolean {
  // Through JSON, so that a member that is undefined is one that is not there.
  const withoutTime = (record: object): unknown => ({ ...(JSON.parse(JSON.stringify(record)) as object), updated_at: null });
  return isDeepStrictEqual(withoutTime(before), withoutTime(after));
}
