/** The tokens of apps and organizations: they cover nothing of others, and end with their time. */
import { Readable } from "node:stream";
import { AppError } from "../../model/app-error.ts";
import type { RegistryIndex } from "../../registry/registry-index.ts";
import type { Answer, Caller } from "./route.ts";

/** The members of a call's path, query and body that name an app, an installation or an organization. */
interface Named {
  readonly app?: unknown;
  readonly installation_uuid?: unknown;
  readonly organization_id?: unknown;
}

/**
 * Checks everything that a call names, so that a route can't forget it: the parameters of its path, its query and its body.
 * @throws AppError FORBIDDEN, NOT_FOUND
 */
export type CheckCovered = (
  caller: Caller,
  call: { readonly params: Readonly<Record<string, string>>; readonly query: unknown; readonly body: unknown },
) => void;

export function createCheckCovered(index: Pick<RegistryIndex, "installation" | "installationsOf">): CheckCovered {
  const checkApp = ({ onlyApp, onlyOrganization }: Caller, slug: string): void => {
    const isOwn = onlyOrganization === null ? slug === onlyApp : index.installationsOf(onlyOrganization).some(({ app }) => app === slug);
    if (!isOwn)
      throw new AppError("FORBIDDEN", `${wordsOf(onlyApp, onlyOrganization)} covers no ${onlyApp === null ? `app ${slug}` : "other app"}`);
  };

  /** @param isRequired false: it may have been removed */
  const checkInstallation = ({ onlyApp, onlyOrganization }: Caller, uuid: string, isRequired: boolean): void => {
    const installation = index.installation(uuid.toLowerCase());
    const isOwn =
      installation === undefined
        ? !isRequired
        : onlyOrganization === null
          ? installation.app === onlyApp
          : installation.organizationId === onlyOrganization;
    // The same answer as for one that does not exist.
    if (!isOwn) throw new AppError("NOT_FOUND", `no installation ${uuid}`);
  };

  return (caller, { params: { slug, uuid }, query, body }) => {
    const { onlyApp, onlyOrganization } = caller;
    if (onlyApp === null && onlyOrganization === null) return;
    if (slug !== undefined) checkApp(caller, slug);
    if (uuid !== undefined) checkInstallation(caller, uuid, true);
    for (const named of [query, body]) {
      if (typeof named !== "object" || named === null) continue;
      const { app, installation_uuid: installation, organization_id: organization } = named as Named;
      if (typeof app === "string") checkApp(caller, app);
      // A list of what belongs to another's installation is empty, as for one that does not exist.
      if (named === body && typeof installation === "string") checkInstallation(caller, installation, false);
      if (onlyOrganization !== null && typeof organization === "string" && organization !== onlyOrganization)
        throw new AppError("FORBIDDEN", `the token of organization ${onlyOrganization} covers no other organization`);
    }
  };
}

function wordsOf(app: string | null, organizationId: string | null): string {
  return app === null ? `the token of organization ${organizationId}` : `the token of app ${app}`;
}

/** Checks the members of a patch. @param own the members that a token of an app or organization may change @throws AppError FORBIDDEN */
export function checkMembers({ onlyApp, onlyOrganization }: Caller, patch: object, own: readonly string[]): void {
  if (onlyApp === null && onlyOrganization === null) return;
  const others = Object.keys(patch).filter((name) => !own.includes(name));
  if (others.length === 0) return;
  throw new AppError("FORBIDDEN", `${wordsOf(onlyApp, onlyOrganization)} changes ${own.join(", ")} only, found ${others.join(", ")}`);
}

/** A stream of events ends when the token does; the next call is refused. */
export function endsWithToken(answer: Answer, { expiresAt }: Caller): Answer {
  const { body } = answer;
  if (expiresAt !== null && body instanceof Readable) {
    const timer = setTimeout(() => body.destroy(), Math.max(0, expiresAt - Date.now()));
    body.once("close", () => clearTimeout(timer));
  }
  return answer;
}
