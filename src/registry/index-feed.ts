/**
 * Feeds the index from the store. An app or installation whose newest record can't be read stays as it was (RECORD-1): nothing
 * may be signed with a wrong secret, and its deliveries must not be taken for those of a deleted app.
 */
import type { Logger } from "../model/logger.ts";
import { mapAppSecrets, mapInstallationSecrets, toApp, toInstallation } from "./opened-records.ts";
import type { RegistryKinds } from "./record-kinds.ts";
import type { RegistryIndex } from "./registry-index.ts";
import type { SecretBox } from "./secret-box.ts";
import type { RegistryStore } from "./store.ts";

export interface IndexFeed {
  /** Number of records with a value that the current key would encrypt differently. */
  outdated(): number;
  /** Keys of records with a decrypted value. */
  decrypted(): Iterable<string>;
}

export interface IndexFeedDependencies {
  readonly store: Pick<RegistryStore, "onRecord" | "onCurrent">;
  readonly kinds: RegistryKinds;
  readonly index: RegistryIndex;
  readonly secretBox: SecretBox;
  readonly logger: Logger;
}

/** Call before the store starts. */
export function feedIndex({ store, kinds, index, secretBox, logger }: IndexFeedDependencies): IndexFeed {
  const outdated = new Set<string>();
  const decrypted = new Set<string>();
  const forget = (key: string): void => {
    outdated.delete(key);
    decrypted.delete(key);
  };

  const note = (key: string, visitSecrets: (visit: (owner: string, stored: string) => string) => unknown): void => {
    forget(key);
    visitSecrets((_owner, stored) => {
      if (secretBox.isEncrypted(stored)) decrypted.add(key);
      if (!secretBox.isCurrent(stored)) outdated.add(key);
      return stored;
    });
  };

  store.onRecord(kinds.apps, (key, record) => {
    if (record === null) {
      forget(key);
      return index.removeApp(key.slice(kinds.apps.prefix.length));
    }
    index.putApp(toApp(record, secretBox));
    note(key, (visit) => mapAppSecrets(record, visit));
  });
  store.onRecord(kinds.installations, (key, record, revision) => {
    if (record === null) {
      forget(key);
      return index.removeInstallation(key.slice(kinds.installations.prefix.length));
    }
    index.putInstallation(toInstallation(record, secretBox), revision);
    note(key, (visit) => mapInstallationSecrets(record, visit));
  });
  store.onCurrent(() => logger.info(index.counts(), "registry is current"));
  return { outdated: () => outdated.size, decrypted: () => decrypted };
}
