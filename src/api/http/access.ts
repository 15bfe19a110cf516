/**
 * Who calls, and whether they may. Tokens are compared by digest, so that the time taken says nothing.
 *
 * C1  A known token is never held up by what others try from the same address: failures have a limit of their own.
 * C2  Without any tokens every program on this machine may do everything, but no web page of another origin that somebody
 *     there looks at.
 */
import { createHash, timingSafeEqual } from "node:crypto";
import type { IncomingHttpHeaders } from "node:http";
import { AppError } from "../../model/app-error.ts";
import type { RateLimit } from "./rate-limit.ts";
import type { Access, Scope } from "./route.ts";

export interface AccessToken {
  readonly scope: Scope;
  readonly token: string;
}

export interface AccessRequest {
  readonly access: Access;
  /** Whether the token of an app may be used, for what belongs to the app. */
  readonly forApp: boolean;
  readonly headers: IncomingHttpHeaders;
  readonly address: string;
}

export interface Caller {
  readonly scope: Scope;
  /** Set when an app's own token calls: nothing of another app may be shown or done. */
  readonly onlyApp: string | null;
}

export class RateLimited extends AppError {
  readonly retryAfterS: number;

  constructor(retryAfterS: number, whose: string) {
    super("RATE_LIMITED", `too many calls ${whose}, the next one in ${retryAfterS} s`, { retryable: true });
    this.retryAfterS = retryAfterS;
  }
}

export interface AccessDependencies {
  readonly tokens: readonly AccessToken[];
  /** The app that a token was made for, or null. */
  readonly appOf: (token: string) => string | null;
  /** Calls that may be made. */
  readonly calls: RateLimit;
  /** Calls without a known token. */
  readonly failures: RateLimit;
}

/** @throws AppError UNAUTHORIZED, FORBIDDEN, RATE_LIMITED */
export type CheckAccess = (request: AccessRequest) => Caller;

const EVERYTHING: Caller = { scope: "admin", onlyApp: null };

export function createCheckAccess({ tokens, appOf, calls, failures }: AccessDependencies): CheckAccess {
  const known = tokens.map(({ scope, token }) => ({ scope, digest: digest(token) }));

  const take = (limit: RateLimit, key: string, whose: string): void => {
    const retryAfterS = limit.take(key);
    if (retryAfterS > 0) throw new RateLimited(retryAfterS, whose);
  };

  const scopeOf = (token: string): { scope: AccessToken["scope"]; key: string } | null => {
    const found = digest(token);
    let best: { scope: AccessToken["scope"]; key: string } | null = null;
    // All are compared, also after a hit.
    for (const [at, candidate] of known.entries()) {
      if (timingSafeEqual(candidate.digest, found) && best?.scope !== "admin") best = { scope: candidate.scope, key: `token ${at}` };
    }
    return best;
  };

  return ({ access, forApp, headers, address }) => {
    if (known.length === 0) refuseForeignPages(headers, access);
    if (access === "open") return { scope: "read", onlyApp: null };
    if (known.length === 0) {
      take(calls, address, "from this address");
      return EVERYTHING;
    }
    const token = /^Bearer +(\S+)$/i.exec(headers.authorization ?? "")?.[1];
    const found = token === undefined ? null : scopeOf(token);
    if (found !== null) {
      take(calls, found.key, "with this token");
      if (access === "admin" && found.scope !== "admin") throw new AppError("FORBIDDEN", "a read token covers GET calls only");
      return { scope: found.scope, onlyApp: null };
    }
    const app = token === undefined ? null : appOf(token);
    if (app !== null) {
      take(calls, `app ${app}`, "with tokens of this app");
      if (!forApp) throw new AppError("FORBIDDEN", `the token of app ${app} does not cover this call`);
      return { scope: "admin", onlyApp: app };
    }
    take(failures, address, "without a known token from this address");
    throw new AppError("UNAUTHORIZED", token === undefined ? "wanted Authorization: Bearer <token>" : "the bearer token is not known");
  };
}

/**
 * A page of another origin can make a browser call this machine, and by rebinding its own name to 127.0.0.1 even read the
 * answer. A browser says which page called (Fetch Metadata, Origin), and by which name.
 */
function refuseForeignPages(headers: IncomingHttpHeaders, access: Access): void {
  const { host = "", origin, "sec-fetch-site": site, "sec-fetch-mode": mode } = headers;
  const name = host.replace(/:\d*$/, "").toLowerCase();
  const isLocal = name === "localhost" || name === "[::1]" || /^127\.\d{1,3}\.\d{1,3}\.\d{1,3}$/.test(name);
  if (!isLocal) {
    throw new AppError("FORBIDDEN", `Host: found ${JSON.stringify(host)}, wanted a loopback name: POSTHORN_API_TOKENS has no tokens`);
  }
  // A link to the dashboard.
  if (access === "open" && mode === "navigate") return;
  const isForeignSite = site !== undefined && site !== "same-origin" && site !== "none";
  const isForeignOrigin = origin !== undefined && origin.replace(/^https?:\/\//, "").toLowerCase() !== host.toLowerCase();
  if (isForeignSite || isForeignOrigin) {
    const found = isForeignOrigin ? `Origin: found ${JSON.stringify(origin)}` : `Sec-Fetch-Site: found ${JSON.stringify(site)}`;
    throw new AppError("FORBIDDEN", `${found}, wanted no page of another origin: POSTHORN_API_TOKENS has no tokens`);
  }
}

function digest(token: string): Buffer {
  return createHash("sha256").update(token).digest();
}
