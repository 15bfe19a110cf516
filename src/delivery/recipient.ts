/** Who a delivery goes to, as the registry has it now. */
import type { App, Installation } from "../model/app.ts";
import type { Delivery } from "../model/delivery.ts";
import type { RegistryView } from "./ports.ts";

/** @returns null when it is not installed any more, or its app has made way for another one of the same slug. */
export function addresseeOf(
  registry: RegistryView,
  { installationUuid, app: slug, appCreatedAt }: Delivery,
): { readonly app: App; readonly installation: Installation } | null {
  const installation = registry.installation(installationUuid);
  const app = installation && registry.app(installation.app);
  if (!installation || !app || installation.app !== slug) return null;
  const isAnother = appCreatedAt !== null && app.createdAt !== null && appCreatedAt !== app.createdAt;
  return isAnother ? null : { app, installation };
}
