/** Removes the records that belong to an app: left in the bucket, they would apply to the next app of the same slug. */
import { installationKey } from "./record-kinds.ts";
import type { RegistryDependencies } from "./registry-dependencies.ts";

export interface AppRemoval {
  /** Removes the app's circuit, throttle, health, order lock and detailed logging. */
  removeState(slug: string): Promise<void>;
  removeInstallations(slug: string): Promise<void>;
}

export function createAppRemoval({ store, index }: Pick<RegistryDependencies, "store" | "index">): AppRemoval {
  return {
    async removeState(slug) {
      for (const key of [`circuit.${slug}`, `throttle.${slug}`, `health.${slug}`, `hold.${slug}`, `debug.app.${slug}`]) {
        if ((await store.readRecord(key)) !== null) await store.deleteRecord(key);
      }
    },
    async removeInstallations(slug) {
      for (const { app, uuid } of [...index.installations()]) if (app === slug) await store.deleteRecord(installationKey(uuid));
    },
  };
}
