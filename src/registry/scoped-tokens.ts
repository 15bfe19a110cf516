/**
 * Short-lived tokens for one app or one organization: `phapp_<slug>.…` and `phorg_<organization, base64url>.…`, followed by scope,
 * name, time of expiry and signature. They are not stored; every replica can verify them.
 *
 * TOKEN-1  The signing key of an app's token combines the bucket's key, the app's client secret and its creation time. So the client
 *          secret alone can't forge a token, and rotating it or recreating the app revokes all tokens of the app.
 * TOKEN-2  Everything before the signature is signed, and with it the kind of the token.
 */
import { createHmac, timingSafeEqual } from "node:crypto";
import { AppError } from "../model/app-error.ts";
import type { Clock } from "../model/clock.ts";
import { TOKEN_SCOPES, type TokenScope } from "../model/token-scope.ts";
import { RecordInvalid } from "./records.ts";
import type { RegistryIndex } from "./registry-index.ts";
import type { SigningKey } from "./signing-key.ts";

/** Exactly one of them is not null. */
export interface TokenOwner {
  readonly app: string | null;
  readonly organizationId: string | null;
}

export interface ScopedToken extends TokenOwner {
  readonly scope: TokenScope;
  /** Its holder, for the audit log; null: not named. */
  readonly name: string | null;
  /** Milliseconds since the epoch. */
  readonly expiresAt: number;
}

export interface TokenRequest extends TokenOwner {
  readonly scope: TokenScope;
  readonly name: string | null;
  /** Null: an hour, or the longest lifetime if that is shorter. */
  readonly ttlS: number | null;
  /** The member that has the lifetime, for messages. */
  readonly ttlMember: string;
}

export interface ScopedTokens {
  /** @throws AppError NOT_FOUND, RECORD_INVALID when the lifetime is too long */
  issue(request: TokenRequest): Promise<{ readonly token: string; readonly expiresAt: number }>;
  /** Null for an invalid or expired token. */
  read(token: string): ScopedToken | null;
}

const DEFAULT_TTL_S = 3600;
const FORM = /^(ph(app|org)_([\w-]{1,700})\.([ram])\.([\w-]{0,400})\.(\d{1,12}))\.([A-Za-z0-9_-]{43})$/;

export interface ScopedTokensDependencies {
  readonly index: RegistryIndex;
  readonly signingKey: SigningKey;
  readonly clock: Clock;
}

export function createScopedTokens(
  { index, signingKey, clock }: ScopedTokensDependencies,
  { maxTtlMs }: { maxTtlMs: number },
): ScopedTokens {
  const maxTtlS = Math.floor(maxTtlMs / 1000);

  /** TOKEN-1. Null: there is no such app. */
  const sign = (key: Buffer, { app: slug }: TokenOwner, signed: string): Buffer | null => {
    const app = slug === null ? null : index.app(slug);
    if (app === undefined) return null;
    const ofOwner = createHmac("sha256", key)
      .update(app === null ? "organization" : `${app.clientSecret}.${app.createdAt}`)
      .digest();
    return createHmac("sha256", ofOwner).update(signed).digest();
  };

  return {
    async issue({ app, organizationId, scope, name, ttlS: wantedTtlS, ttlMember }) {
      if (app !== null && index.app(app) === undefined) throw new AppError("NOT_FOUND", `no app ${app}`);
      const ttlS = wantedTtlS ?? Math.min(DEFAULT_TTL_S, maxTtlS);
      if (ttlS > maxTtlS) {
        const message = `found ${ttlS}, wanted at most ${maxTtlS} (POSTHORN_APP_TOKEN_MAX_TTL)`;
        throw new RecordInvalid("body", [{ path: ttlMember, message }]);
      }
      const expiresS = Math.floor(clock.now() / 1000) + ttlS;
      const owner = app === null ? `phorg_${encoded(organizationId ?? "")}` : `phapp_${app}`;
      const signed = `${owner}.${scope[0]}.${encoded(name ?? "")}.${expiresS}`;
      const signature = sign(await signingKey.get(), { app, organizationId }, signed);
      if (signature === null) throw new AppError("NOT_FOUND", `no app ${app}`);
      return { token: `${signed}.${signature.toString("base64url")}`, expiresAt: expiresS * 1000 };
    },

    read(token) {
      const [, signed = "", kind, ownerText = "", initial, nameText = "", expires = "", signature = ""] = FORM.exec(token) ?? [];
      const key = signingKey.current();
      const scope = TOKEN_SCOPES.find((candidate) => candidate[0] === initial);
      if (key === null || scope === undefined) return null;
      const owner = kind === "app" ? { app: ownerText, organizationId: null } : { app: null, organizationId: decoded(ownerText) };
      const wanted = sign(key, owner, signed);
      if (wanted === null || !timingSafeEqual(wanted, Buffer.from(signature, "base64url"))) return null;
      const expiresAt = Number(expires) * 1000;
      return clock.now() < expiresAt ? { ...owner, scope, name: decoded(nameText) || null, expiresAt } : null;
    },
  };
}

function encoded(text: string): string {
  return Buffer.from(text).toString("base64url");
}

function decoded(text: string): string {
  return Buffer.from(text, "base64url").toString();
}
