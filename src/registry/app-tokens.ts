/**
 * Short-lived tokens for an app's own developer: `phapp_<slug>.<expires, unix seconds>.<signature>`. They are not stored; every
 * replica can verify them. The signing key combines the bucket's key, the app's client secret and its creation time. So the
 * client secret alone can't forge a token, and rotating it or recreating the app revokes all tokens.
 */
import { createHmac, timingSafeEqual } from "node:crypto";
import type { App } from "../model/app.ts";
import { AppError } from "../model/app-error.ts";
import type { Clock } from "../model/clock.ts";
import { RecordInvalid } from "./records.ts";
import type { RegistryIndex } from "./registry-index.ts";
import type { SigningKey } from "./signing-key.ts";

export interface AppTokens {
  /** @throws AppError NOT_FOUND, RECORD_INVALID when the lifetime is too long */
  issue(slug: string, ttlS: number | null): Promise<{ readonly token: string; readonly expiresAt: number }>;
  /** The slug of the token's app, or null for an invalid or expired token. */
  appOf(token: string): string | null;
}

const DEFAULT_TTL_S = 3600;
const FORM = /^phapp_([a-z0-9][a-z0-9_-]{0,63})\.(\d{1,12})\.([A-Za-z0-9_-]{43})$/;

export interface AppTokensDependencies {
  readonly index: RegistryIndex;
  readonly signingKey: SigningKey;
  readonly clock: Clock;
}

export function createAppTokens({ index, signingKey, clock }: AppTokensDependencies, { maxTtlMs }: { maxTtlMs: number }): AppTokens {
  const maxTtlS = Math.floor(maxTtlMs / 1000);

  const sign = (key: Buffer, { clientSecret, createdAt }: App, signed: string): Buffer => {
    const ofApp = createHmac("sha256", key).update(`${clientSecret}.${createdAt}`).digest();
    return createHmac("sha256", ofApp).update(signed).digest();
  };

  return {
    async issue(slug, wantedTtlS) {
      const app = index.app(slug);
      if (app === undefined) throw new AppError("NOT_FOUND", `no app ${slug}`);
      const ttlS = wantedTtlS ?? Math.min(DEFAULT_TTL_S, maxTtlS);
      if (ttlS > maxTtlS) {
        throw new RecordInvalid("body", [
          { path: "ttl_s", message: `found ${ttlS}, wanted at most ${maxTtlS} (POSTHORN_APP_TOKEN_MAX_TTL)` },
        ]);
      }
      const expiresS = Math.floor(clock.now() / 1000) + ttlS;
      const signed = `${slug}.${expiresS}`;
      const signature = sign(await signingKey.get(), app, signed).toString("base64url");
      return { token: `phapp_${signed}.${signature}`, expiresAt: expiresS * 1000 };
    },

    appOf(token) {
      const [, slug = "", expires = "", signature = ""] = FORM.exec(token) ?? [];
      const key = signingKey.current();
      const app = index.app(slug);
      if (key === null || app === undefined) return null;
      const isSigned = timingSafeEqual(sign(key, app, `${slug}.${expires}`), Buffer.from(signature, "base64url"));
      return isSigned && clock.now() < Number(expires) * 1000 ? slug : null;
    },
  };
}
