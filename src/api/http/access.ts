/**
 * Authenticates and authorizes a call. Tokens are compared by digest in constant time.
 *
 * ACCESS-1  A known token is not slowed down by failed calls from the same address, which have a limit of their own.
 * ACCESS-2  Without tokens every program on this machine may do everything, but no web page of another origin may.
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
  /** The token of an app is accepted, for data of that app. */
  readonly forApp: boolean;
  readonly headers: IncomingHttpHeaders;
  readonly address: string;
}

export interface Caller {
  readonly scope: Scope;
  /** The app of an app token, which covers nothing of other apps; null for other tokens. */
  readonly onlyApp: string | null;
}

export class RateLimited extends AppError {
  readonly retryAfterS: number;

  constructor(retryAfterS: number, whose: string) {
    super("RATE_LIMITED", `too many calls ${whose}, try again in ${retryAfterS} s`, { retryable: true });
    this.retryAfterS = retryAfterS;
  }
}

export interface AccessDependencies {
  readonly tokens: readonly AccessToken[];
  /** The app of an app token; null for any other token. */
  readonly appOf: (token: string) => string | null;
  /** Limits calls with a known token. */
  readonly calls: RateLimit;
  /** Limits calls without a known token. */
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
    // All tokens are compared, even after a match, so that the time does not depend on the token.
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
    throw new AppError(
      "UNAUTHORIZED",
      token === undefined ? "Authorization: found nothing, wanted Bearer <token>" : "unknown bearer token",
    );
  };
}

/**
 * ACCESS-2: a page of another origin can make a browser call this machine, and can read the answer by rebinding its own name
 * to 127.0.0.1. The browser says which page called (Fetch Metadata, Origin), and by which name (Host).
 */
function refuseForeignPages(headers: IncomingHttpHeaders, access: Access): void {
  const { host = "", origin, "sec-fetch-site": site, "sec-fetch-mode": mode } = headers;
  const name = host.replace(/:\d*$/, "").toLowerCase();
  const isLocal = name === "localhost" || name === "[::1]" || /^127\.\d{1,3}\.\d{1,3}\.\d{1,3}$/.test(name);
  if (!isLocal) {
    throw new AppError("FORBIDDEN", `Host: found ${JSON.stringify(host)}, wanted a loopback name: POSTHORN_API_TOKENS has no tokens`);
  }
  // Someone follows a link to the dashboard.
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
