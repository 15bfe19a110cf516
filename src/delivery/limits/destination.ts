/** The destination of a delivery: scheme, host and port. Several apps may share one. */
import type { App, Installation } from "../../model/app.ts";
import { memoize } from "../../model/memo.ts";
import type { RegistryView } from "../ports.ts";

/** The destination of an installation; empty when it no longer exists. */
export type DestinationOf = (installationUuid: string) => string;

/** Parsed URLs that are kept. */
const KEPT = 20_000;

export function webhookUrlOf(installation: Installation, app: App): string {
  return installation.webhookUrl ?? app.webhookUrl;
}

export function createDestinationOf(registry: RegistryView): DestinationOf {
  const originOf = memoize(KEPT, (url) => (URL.canParse(url) ? new URL(url).origin : ""));

  return (installationUuid) => {
    const installation = registry.installation(installationUuid);
    const app = installation && registry.app(installation.app);
    return installation && app ? originOf(webhookUrlOf(installation, app)) : "";
  };
}
