/** Where a delivery goes, as far as connections are concerned: scheme, host and port. Several apps may share one. */
import type { App, Installation } from "../../model/app.ts";
import type { RegistryView } from "../ports.ts";

/** Of an installation; empty when it is not there any more. */
export type DestinationOf = (installationUuid: string) => string;

/** Parsed URLs that are kept; beyond it all are parsed again. */
const MAX_KEPT = 20_000;

export function webhookUrlOf(installation: Installation, app: App): string {
  return installation.webhookUrl ?? app.webhookUrl;
}

export function createDestinationOf(registry: RegistryView): DestinationOf {
  const origins = new Map<string, string>();

  const originOf = (url: string): string => {
    let origin = origins.get(url);
    if (origin === undefined) {
      if (origins.size >= MAX_KEPT) origins.clear();
      origin = URL.canParse(url) ? new URL(url).origin : "";
      origins.set(url, origin);
    }
    return origin;
  };

  return (installationUuid) => {
    const installation = registry.installation(installationUuid);
    const app = installation && registry.app(installation.app);
    return installation && app ? originOf(webhookUrlOf(installation, app)) : "";
  };
}
