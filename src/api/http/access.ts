/**
 * Authenticates and authorizes a call. Tokens are compared by digest in constant time.
 *
 * ACCESS-1  A known token is not slowed down by failed calls from the same address, which have a limit of their own.
 * ACCESS-2  Without tokens every program on this machine may do everything, but no web page of another origin may.
 */
import { createHash, timingSafeEqual } from "node:crypto";
import type { IncomingHttpHeaders } from "node:http";
import { AppError } from "../../model/app-error.ts";
import { includes, TOKEN_SCOPES, type TokenScope } from "../../model/token-scope.ts";
import type { ScopedToken } from "../../registry/scoped-tokens.ts";
import type { RateLimit } from "./rate-limit.ts";
import type { Access, Caller, Scope } from "./route.ts";

export interface AccessToken {
  readonly scope: Scope;
  /** Null: the scope stands for it. */
  readonly name: string | null;
  readonly token: string;
}

export interface AccessRequest {
  readonly access: Access;
  /** The scope that an app's token needs, for data of that app; null: none covers the call. */
  readonly forApp: TokenScope | null;
  /** The same for an organization's token. */
  readonly forOrganization: TokenScope | null;
  readonly headers: IncomingHttpHeaders;
  readonly address: string;
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
  /** The token of an app or an organization; null for any other token. */
  readonly readScoped: (token: string) => ScopedToken | null;
  /** Limits calls with a known token. */
  readonly calls: RateLimit;
  /** Limits calls without a known token. */
  readonly failures: RateLimit;
}

/** @throws AppError UNAUTHORIZED, FORBIDDEN, RATE_LIMITED */
export type CheckAccess = (request: AccessRequest) => Caller;

/** The caller without a token: of an open call, or of any call when no tokens are configured. */
const NOBODY: Caller = callerOf({ scope: "read", name: null });
const EVERYBODY: Caller = { ...callerOf({ scope: "admin", name: null }), name: "anyone (no tokens are configured)" };

function callerOf({ scope, name }: Pick<AccessToken, "scope" | "name">): Caller {
  const may = scope === "admin" ? TOKEN_SCOPES : (["read"] as const);
  return { name: name ?? scope, scope, may, onlyApp: null, onlyOrganization: null, expiresAt: null };
}

/** An app's or organization's token is of scope admin where it is accepted at all: what it covers is checked here and by the route. */
function scopedCallerOf({ app, organizationId, scope, name, expiresAt }: ScopedToken): Caller {
  const owner = app === null ? `organization ${organizationId}` : `app ${app}`;
  const may = TOKEN_SCOPES.filter((candidate) => includes(scope, candidate));
  return {
    name: name === null ? owner : `${name} (${owner})`,
    scope: "admin",
    may,
    onlyApp: app,
    onlyOrganization: organizationId,
    expiresAt,
  };
}

export function createCheckAccess({ tokens, readScoped, calls, failures }: AccessDependencies): CheckAccess {
  const known = tokens.map(({ token, ...about }) => ({ caller: callerOf(about), digest: digest(token) }));

  const take = (limit: RateLimit, key: string, whose: string): void => {
    const retryAfterS = limit.take(key);
    if (retryAfterS > 0) throw new RateLimited(retryAfterS, whose);
  };

  const configured = (token: string): { caller: Caller; key: string } | null => {
    const found = digest(token);
    let best: { caller: Caller; key: string } | null = null;
    // All tokens are compared, even after a match, so that the time does not depend on the token.
    for (const [at, { caller, digest: candidate }] of known.entries()) {
      if (timingSafeEqual(candidate, found) && best?.caller.scope !== "admin") best = { caller, key: `token ${at}` };
    }
    return best;
  };

  return ({ access, forApp, forOrganization, headers, address }) => {
    if (known.length === 0) refuseForeignPages(headers, access);
    if (access === "open") return NOBODY;
    const token = /^Bearer +(\S+)$/i.exec(headers.authorization ?? "")?.[1];
    const scoped = token === undefined ? null : readScoped(token);
    if (scoped !== null) {
      const owner = scoped.app === null ? `organization ${scoped.organizationId}` : `app ${scoped.app}`;
      take(calls, owner, `with tokens of this ${scoped.app === null ? "organization" : "app"}`);
      checkScope(`the token of ${owner}`, scoped.scope, scoped.app === null ? forOrganization : forApp);
      return scopedCallerOf(scoped);
    }
    if (known.length === 0) {
      take(calls, address, "from this address");
      // A link that has expired must not turn into full access.
      if (token !== undefined && /^ph(?:app|org)_/.test(token)) throw new AppError("UNAUTHORIZED", UNKNOWN_TOKEN);
      return EVERYBODY;
    }
    const found = token === undefined ? null : configured(token);
    if (found !== null) {
      take(calls, found.key, "with this token");
      if (access === "admin" && found.caller.scope !== "admin") throw new AppError("FORBIDDEN", "a read token covers GET calls only");
      return found.caller;
    }
    take(failures, address, "without a known token from this address");
    throw new AppError(
      "UNAUTHORIZED",
      token === undefined ? `Authorization: found ${kindOf(headers.authorization)}, wanted Bearer <token>` : UNKNOWN_TOKEN,
    );
  };
}

const UNKNOWN_TOKEN =
  "unknown bearer token: wanted one of POSTHORN_API_TOKENS, or a token or link of an app or organization that has not expired";

/** Without the credentials. */
function kindOf(authorization = ""): string {
  if (authorization === "") return "nothing";
  const scheme = /^([A-Za-z]{1,20}) /.exec(authorization)?.[1];
  return scheme === undefined ? "another form" : `the scheme ${scheme}`;
}

function checkScope(what: string, found: TokenScope, wanted: TokenScope | null): void {
  if (wanted === null) throw new AppError("FORBIDDEN", `${what} does not cover this call`);
  if (!includes(found, wanted)) throw new AppError("FORBIDDEN", `${what} has scope ${found}, and this call needs scope ${wanted}`);
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
