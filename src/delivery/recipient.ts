/** The recipient of a delivery, from the registry as it is now. */
import type { App, Installation } from "../model/app.ts";
import type { Delivery } from "../model/delivery.ts";
import type { RegistryView } from "./ports.ts";

/** @returns null when the app is no longer installed, or another app has taken its slug */
export function recipientOf(
  registry: RegistryView,
  { installationUuid, app: slug, appCreatedAt }: Delivery,
): { readonly app: App; readonly installation: Installation } | null {
  const installation = registry.installation(installationUuid);
  const app = installation && registry.app(installation.app);
  if (!installation || !app || installation.app !== slug) return null;
  const isAnother = appCreatedAt !== null && app.createdAt !== null && appCreatedAt !== app.createdAt;
  return isAnother ? null : { app, installation };
}
