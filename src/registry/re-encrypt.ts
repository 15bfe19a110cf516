/**
 * Encrypts every stored secret with the current key, the last step of a key rotation: secrets in the clear and those under a key
 * of POSTHORN_ENCRYPTION_KEY_PREVIOUS. Each record is changed by compare-and-set, so replicas may keep running, and an
 * interrupted run can be repeated. Unreadable records are left unchanged.
 */

import { AppError } from "../model/app-error.ts";
import type { RecordKind } from "../model/record-kind.ts";
import { mapAppSecrets, mapInstallationSecrets } from "./opened-records.ts";
import { createRegistryKinds } from "./record-kinds.ts";
import type { SecretBox } from "./secret-box.ts";
import { signingKeyKind, signingKeyOwner } from "./signing-key.ts";
import type { RegistryStore } from "./store.ts";

export interface ReEncrypted {
  /** Number of records with secrets. */
  readonly records: number;
  readonly changed: number;
  /** Keys of records that can't be read for another reason than a missing key. */
  readonly invalid: readonly string[];
}

type Renew = (owner: string, stored: string) => string;

const MAX_TRIES = 20;
const MAX_SHOWN = 10;

/** Starts the store; the caller must not have. @throws AppError SECRET_UNREADABLE when a secret can't be decrypted, CONFLICT */
export async function reEncrypt(store: RegistryStore, secretBox: SecretBox): Promise<ReEncrypted> {
  const renew: Renew = (owner, stored) => (secretBox.isCurrent(stored) ? stored : secretBox.seal(owner, secretBox.open(owner, stored)));
  const keys = new Set<string>();
  const works: Array<() => Promise<number>> = [];

  const renewAll = <T>(kind: RecordKind<T>, renewed: (record: T) => T, hasSecrets = (_record: T): boolean => true): void => {
    const ofKind = new Set<string>();
    store.onRecord(kind, (key, record) => {
      for (const all of [keys, ofKind])
        if (record === null || !hasSecrets(record)) all.delete(key);
        else all.add(key);
    });
    works.push(async () => {
      let changed = 0;
      for (const key of ofKind) if (await change(store, kind, key, renewed)) changed++;
      return changed;
    });
  };

  const { apps, installations } = createRegistryKinds(secretBox);
  renewAll(apps, (record) => mapAppSecrets(record, renew));
  renewAll(
    installations,
    (record) => mapInstallationSecrets(record, renew),
    ({ webhook_url: url }) => url != null,
  );
  renewAll(signingKeyKind(secretBox), (record) => ({ ...record, value: renew(signingKeyOwner, record.value) }));
  await store.start();
  let changed = 0;
  for (const work of works) changed += await work();
  const locked = store.invalid().filter(({ isSecret }) => isSecret);
  if (locked.length > 0) {
    const shown = locked.slice(0, MAX_SHOWN).map(({ problem }) => `  ${problem}`);
    if (locked.length > MAX_SHOWN) shown.push(`  and ${locked.length - MAX_SHOWN} more`);
    throw new AppError("SECRET_UNREADABLE", `${changed} records are under the current key; these can't be read:\n${shown.join("\n")}`);
  }
  return { records: keys.size, changed, invalid: store.invalid().map(({ key }) => key) };
}

/** @returns whether the record was changed */
async function change<T>(store: RegistryStore, kind: RecordKind<T>, key: string, renewed: (record: T) => T): Promise<boolean> {
  const records = store.recordsOf(kind);
  for (let tries = 0; tries < MAX_TRIES; tries++) {
    const found = await records.read(key);
    if (found === null || found.record === null || found.problem !== null) return false;
    const record = renewed(found.record);
    if (JSON.stringify(record) === JSON.stringify(found.record)) return false;
    if ((await records.update(key, record, found.revision)) !== "conflict") return true;
  }
  throw new AppError("CONFLICT", `record ${key} was changed by others ${MAX_TRIES} times in a row`, { retryable: true });
}
