/** Rules between an installation and other records. */
import { AppError } from "../model/app-error.ts";
import type { InstallationMembers } from "./record-bodies.ts";
import { appKey } from "./record-kinds.ts";
import { RecordInvalid } from "./records.ts";
import type { RegistryDependencies } from "./registry-dependencies.ts";

export interface InstallationRules {
  /** REGISTRY-1. @param revision only earlier installations count. @throws AppError CONFLICT */
  checkUnique(uuid: string, members: InstallationMembers, revision: number): void;
  /** @throws AppError RECORD_INVALID */
  checkAppExists(what: string, app: string): Promise<void>;
}

export function createInstallationRules({ store, index }: Pick<RegistryDependencies, "store" | "index">): InstallationRules {
  return {
    checkUnique(uuid, { app, organization_id: organization }, revision) {
      const other = index.placedAt(app, organization).find((placed) => placed.uuid !== uuid && placed.revision < revision);
      if (other === undefined) return;
      throw new AppError(
        "CONFLICT",
        `app ${app} is installed in organization ${organization} already (installation ${other.uuid}); allow_duplicate: true installs it again`,
      );
    },
    async checkAppExists(what, app) {
      if (index.app(app) !== undefined || (await store.readRecord(appKey(app))) !== null) return;
      throw new RecordInvalid(what, [{ path: "app", message: `found ${JSON.stringify(app)}, wanted an app that exists` }]);
    },
  };
}
