/** An app's installations as options of a choice. */
import type { InstallationsOfApp } from "../client/api-types.generated.ts";
import { call, withQuery } from "./api.ts";
import { useLoad } from "./use-load.ts";

/** @param any the option for no particular one */
export function useInstallationOptions(slug: string, any: string): Readonly<Record<string, string>> {
  const { value } = useLoad(slug, (signal) =>
    call<InstallationsOfApp>(withQuery(`v1/apps/${slug}/installations`, { limit: 100 }), { signal }),
  );
  const options = (value?.items ?? []).map(({ uuid, organization_id, status }) => [
    uuid,
    `Organization ${organization_id} · ${status} · ${uuid.slice(0, 8)}`,
  ]);
  return { "": any, ...Object.fromEntries(options) };
}
