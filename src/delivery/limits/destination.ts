/** The destination of a delivery: scheme, host and port. Several apps may share one. */
import type { App, Installation } from "../../model/app.ts";
import type { RegistryView } from "../ports.ts";

/** The destination of an installation; empty when it no longer exists. */
export type DestinationOf = (installationUuid: string) => string;

/** Size of the cache of parsed URLs; the cache is emptied when it is full. */
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
