/** An installation's record as the answer to a call about it. */
import { toInstallation } from "../../registry/opened-records.ts";
import type { Registry } from "../../registry/registry.ts";
import type { SecretBox } from "../../registry/secret-box.ts";
import { etag, installationView, invalidView, type View } from "../schemas/records.ts";

export interface ShowInstallationDependencies {
  readonly registry: Registry;
  readonly secretBox: SecretBox;
}

interface InstallationAnswer {
  readonly status: 200;
  readonly body: object;
  readonly headers: Readonly<Record<string, string>>;
}

/** @throws AppError NOT_FOUND */
export function createShowInstallation({ registry, secretBox }: ShowInstallationDependencies) {
  return async (uuid: string, view: View): Promise<InstallationAnswer> => {
    const { record, tag, problem } = await registry.getInstallation(uuid);
    const body = { ...installationView(toInstallation(record, secretBox), view), ...invalidView(problem) };
    return { status: 200, body, headers: { etag: etag(tag) } };
  };
}
