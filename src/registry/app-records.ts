/** Creates, changes and deletes apps. */
import { randomBytes } from "node:crypto";
import type { App } from "../model/app.ts";
import { AppError } from "../model/app-error.ts";
import { toRfc3339 } from "../model/clock.ts";
import { epochMsOf } from "../model/rfc3339.ts";
import { createAppRemoval } from "./app-removal.ts";
import { checkName, checkSize, createCheckUrl } from "./body-checks.ts";
import { isObject, mergePatch } from "./merge-patch.ts";
import { toApp } from "./opened-records.ts";
import { createRecordAccess, type PutResult, type Revised } from "./record-access.ts";
import { type AppMembers, appMembers, changedMembers, membersOfApp, sealApp } from "./record-bodies.ts";
import { appKey } from "./record-kinds.ts";
import { appExceeds } from "./record-limits.ts";
import { NO_PRECONDITION, type Precondition } from "./record-tag.ts";
import { type AppBody, appBody, parseRecord, type StoredApp } from "./records.ts";
import type { RegistryDependencies, RegistryOptions } from "./registry-dependencies.ts";
import type { SecretBox } from "./secret-box.ts";

export interface RotatedSecret {
  readonly clientSecret: string;
  /** RFC 3339. Until then webhooks carry both signatures. */
  readonly previousValidUntil: string;
}

type PutApp = PutResult<StoredApp> & {
  /** Only if the call created the app. */
  readonly clientSecret: string | null;
};

export interface AppRegistry {
  /** An absent member gets its default; the client secret stays. @throws AppError RECORD_INVALID, CONFLICT, PRECONDITION_FAILED */
  putApp(slug: string, body: unknown, precondition: Precondition): Promise<PutApp>;
  /** @param patch JSON merge patch @throws AppError NOT_FOUND, and as putApp */
  patchApp(slug: string, patch: unknown, precondition: Precondition): Promise<PutResult<StoredApp>>;
  getApp(slug: string): Promise<Revised<StoredApp>>;
  /** Deletes its installations, too. */
  deleteApp(slug: string, precondition: Precondition): Promise<void>;
  rotateSecret(slug: string): Promise<RotatedSecret>;
}

export function createAppRecords(
  { store, kinds, index, secretBox, refusesUrl, clock }: RegistryDependencies,
  { secretOverlapMs, limits, checksKnownUrls = true }: RegistryOptions,
): AppRegistry {
  const apps = store.recordsOf(kinds.apps);
  // Only callers write the record, so its revision is its tag.
  const access = createRecordAccess(apps, (_record, revision) => String(revision));
  const checkUrl = createCheckUrl(refusesUrl);
  const opened = (record: StoredApp | null) => record && toApp(record, secretBox);

  const { removeState, removeInstallations } = createAppRemoval({ store, index });

  /** Later than the creation of any earlier app of the slug (model/app.ts). */
  const createdAtOf = async (slug: string): Promise<string> => {
    const last = await apps.readDeleted(appKey(slug));
    return toRfc3339(Math.max(clock.now(), (epochMsOf(last?.created_at ?? "") || 0) + 1));
  };

  const rotated = (record: StoredApp, clientSecret: string, now: number): StoredApp => ({
    ...record,
    client_secret: secretBox.seal(record.slug, clientSecret),
    previous_secret: { value: record.client_secret, valid_until: toRfc3339(now + secretOverlapMs) },
    updated_at: toRfc3339(now),
  });

  const readBody = (what: string, slug: string, raw: unknown): AppBody => {
    const body = parseRecord(appBody, raw, what);
    checkName(what, "slug", slug, body.slug);
    return body;
  };

  const withMembers = (what: string, slug: string, members: AppMembers, before: StoredApp | null) => {
    // The default name is the slug, which has a limit of its own.
    checkSize(what, appExceeds(members.name === slug ? { ...members, name: "" } : members, limits));
    return { ...sealApp(slug, members, before, secretBox), slug, updated_at: toRfc3339(clock.now()) };
  };

  /** @param given the new client secret; undefined to keep the current one */
  const withSecret = (before: StoredApp, after: StoredApp, given: string | undefined): StoredApp =>
    given === undefined || secretBox.open(after.slug, before.client_secret) === given ? after : rotated(after, given, clock.now());

  const change = (slug: string, precondition: Precondition, next: (before: StoredApp | null) => Promise<StoredApp>) =>
    access.change(appKey(slug), precondition, {
      next,
      changed: (before, after) => changedMembers(before && comparable(before, secretBox), comparable(after, secretBox)),
    });

  return {
    async putApp(slug, raw, precondition) {
      const what = `app ${slug}`;
      const body = readBody(what, slug, raw);
      const clientSecret = body.client_secret ?? randomBytes(32).toString("hex");
      // A late failure may have opened a circuit after an earlier app of the slug was deleted.
      if ((await store.readRecord(appKey(slug))) === null) await removeState(slug);
      const result = await change(slug, precondition, async (before) => {
        const members = appMembers(what, slug, body, opened(before));
        await checkUrl(what, members.webhook_url, checksKnownUrls ? null : opened(before)?.webhookUrl);
        const stored = withMembers(what, slug, members, before);
        if (before !== null) return withSecret(before, { ...before, ...stored }, body.client_secret);
        const createdAt = await createdAtOf(slug);
        return { ...stored, client_secret: secretBox.seal(slug, clientSecret), created_at: createdAt, updated_at: createdAt };
      });
      return { ...result, clientSecret: result.created ? clientSecret : null };
    },

    patchApp(slug, patch, precondition) {
      const what = `app ${slug}`;
      return change(slug, precondition, async (before) => {
        if (before === null) throw new AppError("NOT_FOUND", `no ${what}`);
        const app = toApp(before, secretBox);
        const body = readBody(what, slug, mergePatch(baseOf(app, patch), withNamesOf(app, patch)));
        const members = appMembers(what, slug, body, app);
        await checkUrl(what, members.webhook_url, app.webhookUrl);
        const stored = withMembers(what, slug, members, before);
        return withSecret(before, { ...before, ...stored }, body.client_secret);
      });
    },

    getApp: (slug) => access.read(appKey(slug), `app ${slug}`),

    async deleteApp(slug, precondition) {
      await access.checkFound(appKey(slug), `app ${slug}`, precondition);
      await removeInstallations(slug);
      await removeState(slug);
      await store.reached(await store.deleteRecord(appKey(slug)));
      // REGISTRY-2
      await removeInstallations(slug);
    },

    async rotateSecret(slug) {
      await access.read(appKey(slug), `app ${slug}`);
      const clientSecret = randomBytes(32).toString("hex");
      const { record } = await change(slug, NO_PRECONDITION, async (before) => {
        if (before === null) throw new AppError("NOT_FOUND", `no app ${slug}`);
        return rotated(before, clientSecret, clock.now());
      });
      return { clientSecret, previousValidUntil: record.previous_secret?.valid_until ?? toRfc3339(clock.now()) };
    },
  };
}

/** The members that a patch changes. `ordered` is short for `order_by`, so a patch with the one replaces the other. */
function baseOf(app: App, patch: unknown): object {
  const { order_by: orderBy, ...members } = membersOfApp(app);
  const isShort = isObject(patch) && "ordered" in patch && !("order_by" in patch);
  return isShort ? members : { ...members, order_by: orderBy };
}

/**
 * A header in the patch means the app's header of the same name, whatever its case. It keeps the app's spelling, unless the patch removes
 * that spelling.
 */
function withNamesOf(app: App, patch: unknown): unknown {
  if (!isObject(patch) || !isObject(patch["headers"])) return patch;
  const given = Object.entries(patch["headers"]);
  const names = new Map(Object.keys(app.headers).map((name) => [name.toLowerCase(), name]));
  const stored = (name: string): string => names.get(name.toLowerCase()) ?? name;
  const removed = given.filter(([, value]) => value === null).map(([name]) => name);
  const nameOf = (name: string): string => (removed.includes(stored(name)) ? name : stored(name));
  const set = given.filter(([, value]) => value !== null).map(([name, value]) => [nameOf(name), value] as const);
  return { ...patch, headers: Object.fromEntries([...removed.map((name) => [stored(name), null] as const), ...set]) };
}

function comparable(record: StoredApp, secretBox: SecretBox): object {
  const app = toApp(record, secretBox);
  return { ...membersOfApp(app), client_secret: app.clientSecret };
}
