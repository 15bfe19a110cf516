/** The tokens of apps and organizations: they cover nothing of others, and end with their time. */
import { Readable } from "node:stream";
import { AppError } from "../../model/app-error.ts";
import type { RegistryIndex } from "../../registry/registry-index.ts";
import type { Answer, Caller } from "./route.ts";

/** Checks the app or installation in a call's path. @throws AppError FORBIDDEN, NOT_FOUND */
export type CheckCovered = (caller: Caller, params: Readonly<Record<string, string>>) => void;

export function createCheckCovered(index: Pick<RegistryIndex, "installation">): CheckCovered {
  return ({ onlyApp, onlyOrganization }, { slug, uuid }) => {
    if (onlyApp === null && onlyOrganization === null) return;
    if (slug !== undefined && slug !== onlyApp)
      throw new AppError("FORBIDDEN", `${wordsOf(onlyApp, onlyOrganization)} covers no other app`);
    if (uuid === undefined) return;
    const installation = index.installation(uuid.toLowerCase());
    const isOwn =
      installation !== undefined && (onlyApp === null ? installation.organizationId === onlyOrganization : installation.app === onlyApp);
    // The same answer as for one that does not exist.
    if (!isOwn) throw new AppError("NOT_FOUND", `no installation ${uuid}`);
  };
}

function wordsOf(app: string | null, organizationId: string | null): string {
  return app === null ? `the token of organization ${organizationId}` : `the token of app ${app}`;
}

/** Checks the app that a call names in its query or body. @throws AppError FORBIDDEN */
export function checkNamedApp({ onlyApp, onlyOrganization }: Caller, app: string | null | undefined): void {
  if (onlyApp === null || app == null || app === onlyApp) return;
  throw new AppError("FORBIDDEN", `${wordsOf(onlyApp, onlyOrganization)} covers no other app`);
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
