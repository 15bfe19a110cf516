/** The part of the registry that makes, changes and removes apps. */

import { randomBytes } from "node:crypto";
import type { App } from "../model/app.ts";
import { AppError } from "../model/app-error.ts";
import { toRfc3339 } from "../model/clock.ts";
import { epochMsOf } from "../model/rfc3339.ts";
import { checkName, checkSize, createCheckUrl } from "./body-checks.ts";
import { mergePatch } from "./merge-patch.ts";
import { toApp } from "./opened-records.ts";
import { createRecordAccess, type PutResult, type Revised } from "./record-access.ts";
import { type AppMembers, appMembers, changedMembers, membersOfApp, sealApp } from "./record-bodies.ts";
import { appKey, installationKey } from "./record-kinds.ts";
import { appExceeds } from "./record-limits.ts";
import { NO_PRECONDITION, type Precondition } from "./record-tag.ts";
import { type AppBody, appBody, parseRecord, type StoredApp } from "./records.ts";
import type { RegistryDependencies, RegistryOptions } from "./registry-dependencies.ts";

export interface RotatedSecret {
  readonly clientSecret: string;
  /** RFC 3339; until then webhooks carry both signatures. */
  readonly previousValidUntil: string;
}

type PutApp = PutResult<StoredApp> & {
  /** Only when the app was made now. */
  readonly clientSecret: string | null;
};

export interface AppRegistry {
  /** A member that the body does not have gets its default; the client secret stays. @throws AppError RECORD_INVALID, CONFLICT, PRECONDITION_FAILED */
  putApp(slug: string, body: unknown, precondition: Precondition): Promise<PutApp>;
  /** @param patch JSON merge patch @throws AppError NOT_FOUND, and as putApp */
  patchApp(slug: string, patch: unknown, precondition: Precondition): Promise<PutResult<StoredApp>>;
  getApp(slug: string): Promise<Revised<StoredApp>>;
  /** Its installations go with it. */
  deleteApp(slug: string, precondition: Precondition): Promise<void>;
  rotateSecret(slug: string): Promise<RotatedSecret>;
}

export function createAppRecords(
  { store, kinds, index, secretBox, refusesUrl, clock }: RegistryDependencies,
  { secretOverlapMs, limits }: RegistryOptions,
): AppRegistry {
  const apps = store.recordsOf(kinds.apps);
  // The record is written for callers only: its revision says it all.
  const access = createRecordAccess(apps, (_record, revision) => String(revision));
  const checkUrl = createCheckUrl(refusesUrl);
  const opened = (record: StoredApp | null) => record && toApp(record, secretBox);

  /** Later than that of an app of the same slug that was removed: model/app.ts. */
  const createdAtOf = async (slug: string): Promise<string> => {
    const last = await apps.readDeleted(appKey(slug));
    return toRfc3339(Math.max(clock.now(), (epochMsOf(last?.created_at ?? "") || 0) + 1));
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

  const readBody = (what: string, slug: string, raw: unknown): AppBody => {
    const body = parseRecord(appBody, raw, what);
    checkName(what, "slug", slug, body.slug);
    return body;
  };

  const withMembers = (what: string, slug: string, members: AppMembers, before: StoredApp | null) => {
    // A name that is not given, and is the slug, has the slug's limit.
    checkSize(what, appExceeds(members.name === slug ? { ...members, name: "" } : members, limits));
    return { ...sealApp(slug, members, before, secretBox), slug, updated_at: toRfc3339(clock.now()) };
  };

  /** @param given the client secret that it is to have; undefined: as it is */
  const withSecret = (before: StoredApp, after: StoredApp, given: string | undefined): StoredApp =>
    given === undefined || secretBox.open(after.slug, before.client_secret) === given ? after : rotated(after, given, clock.now());

  const changed = (before: StoredApp | null, after: StoredApp): string[] => {
    const shown = (record: StoredApp) => {
      const app = toApp(record, secretBox);
      return { ...membersOfApp(app), client_secret: app.clientSecret };
    };
    return changedMembers(before && shown(before), shown(after));
  };

  const change = (slug: string, precondition: Precondition, next: (before: StoredApp | null) => Promise<StoredApp>) =>
    access.change(appKey(slug), precondition, { next, changed });

  return {
    async putApp(slug, raw, precondition) {
      const what = `app ${slug}`;
      const body = readBody(what, slug, raw);
      const clientSecret = body.client_secret ?? randomBytes(32).toString("hex");
      // A late failure may have opened a circuit after an earlier app of that name was removed.
      if ((await store.readRecord(appKey(slug))) === null) await removeStateOf(slug);
      const result = await change(slug, precondition, async (before) => {
        const members = appMembers(what, slug, body, opened(before));
        await checkUrl(what, members.webhook_url);
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
        const body = readBody(what, slug, mergePatch(baseOf(app, patch), patch));
        const members = appMembers(what, slug, body, app);
        await checkUrl(what, members.webhook_url, app.webhookUrl);
        const stored = withMembers(what, slug, members, before);
        return withSecret(before, { ...before, ...stored }, body.client_secret);
      });
    },

    getApp: (slug) => access.read(appKey(slug), `app ${slug}`),

    async deleteApp(slug, precondition) {
      await access.checkFound(appKey(slug), `app ${slug}`, precondition);
      await removeInstallationsOf(slug);
      await removeStateOf(slug);
      await store.reached(await store.deleteRecord(appKey(slug)));
      // REGISTRY-3
      await removeInstallationsOf(slug);
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
  const isShort = typeof patch === "object" && patch !== null && "ordered" in patch && !("order_by" in patch);
  return isShort ? members : { ...members, order_by: orderBy };
}
