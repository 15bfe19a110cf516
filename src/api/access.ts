/** Bearer tokens: which calls a request may make. Compared by digest, so that the time taken says nothing. */
import { createHash, timingSafeEqual } from "node:crypto";
import { AppError } from "../model/app-error.ts";
import type { Access, Scope } from "./route.ts";

export interface AccessToken {
  readonly scope: Scope;
  readonly token: string;
}

/** @throws AppError UNAUTHORIZED, FORBIDDEN @returns what the caller may do */
export type CheckAccess = (access: Access, authorization: string | undefined) => Scope;

export function createCheckAccess(tokens: readonly AccessToken[]): CheckAccess {
  const known = tokens.map(({ scope, token }) => ({ scope, digest: digest(token) }));

  return (access, authorization) => {
    if (known.length === 0) return "admin";
    if (access === "open") return "read";
    const token = /^Bearer +(\S+)$/i.exec(authorization ?? "")?.[1];
    if (token === undefined) throw new AppError("UNAUTHORIZED", "wanted Authorization: Bearer <token>");
    const found = digest(token);
    let scope: Scope | null = null;
    // All are compared, also after a hit.
    for (const candidate of known) {
      if (timingSafeEqual(candidate.digest, found) && scope !== "admin") ({ scope } = candidate);
    }
    if (scope === null) throw new AppError("UNAUTHORIZED", "the bearer token is not known");
    if (access === "admin" && scope !== "admin") throw new AppError("FORBIDDEN", "a read token covers GET calls only");
    return scope;
  };
}

function digest(token: string): Buffer {
  return createHash("sha256").update(token).digest();
}
