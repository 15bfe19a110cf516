/**
 * Brings every stored secret under the current key, the last step of a change of keys: from the clear or from a key of
 * POSTHORN_ENCRYPTION_KEY_PREVIOUS. Each record is changed by compare-and-set, so replicas may go on meanwhile, and a run
 * that was cut short is simply run again.
 */
import { AppError } from "../model/app-error.ts";
import type { StoredApp } from "./records.ts";
import { appKey } from "./registry.ts";
import type { SecretBox } from "./secret-box.ts";
import { SIGNING_KEY, type StoredSigningKey } from "./signing-key.ts";
import type { RegistryStore } from "./store.ts";

export interface ReEncrypted {
  readonly records: number;
  readonly changed: number;
}

const MAX_TRIES = 20;

/** Starts the store, which must not be started yet. @throws AppError SECRET_UNREADABLE, CONFLICT */
export async function reEncrypt(store: RegistryStore, secretBox: SecretBox): Promise<ReEncrypted> {
  const keys = new Set<string>();
  store.onRecord("", (key, value) => void (value === null ? keys.delete(key) : keys.add(key)));
  await store.start();

  const renew = (owner: string, stored: string): string =>
    secretBox.isCurrent(stored) ? stored : secretBox.seal(owner, secretBox.open(owner, stored));

  const renewed = (key: string, value: string): string => {
    if (key === SIGNING_KEY) {
      const record = JSON.parse(value) as StoredSigningKey;
      return JSON.stringify({ ...record, value: renew(`_${SIGNING_KEY}`, record.value) });
    }
    const record = JSON.parse(value) as StoredApp;
    const previous = record.previous_secret;
    return JSON.stringify({
      ...record,
      client_secret: renew(record.slug, record.client_secret),
      ...(previous === undefined ? {} : { previous_secret: { ...previous, value: renew(record.slug, previous.value) } }),
    });
  };

  /** @returns whether it had to be changed. */
  const change = async (key: string): Promise<boolean> => {
    for (let tries = 0; tries < MAX_TRIES; tries++) {
      const found = await store.readRecord(key);
      const value = found && renewed(key, found.value);
      if (found === null || value === found.value) return false;
      if ((await store.updateRecord(key, value ?? found.value, found.revision)) !== "conflict") return true;
    }
    throw new AppError("CONFLICT", `record ${key} kept being changed by others`, { retryable: true });
  };

  const withSecrets = [...keys].filter((key) => key === SIGNING_KEY || key.startsWith(appKey("")));
  let changed = 0;
  for (const key of withSecrets) if (await change(key)) changed++;
  return { records: withSecrets.length, changed };
}
