/**
 * Secrets at rest: `enc:v1:<key id>:<base64 of iv, tag and ciphertext>` with AES-256-GCM, the owner's name as additional
 * data so that a ciphertext can't be moved to another record. Without a key they are stored in the clear.
 */
import { createCipheriv, createDecipheriv, randomBytes } from "node:crypto";
import { AppError } from "../model/app-error.ts";

export interface EncryptionKey {
  readonly id: string;
  /** 32 bytes. */
  readonly key: Buffer;
}

/** An owner is an app's slug, or a name with `_` before it, which no slug begins with. */
export interface SecretBox {
  seal(owner: string, secret: string): string;
  /** @throws AppError SECRET_UNREADABLE */
  open(owner: string, stored: string): string;
  /** Whether it is stored as `seal` would store it now. */
  isCurrent(stored: string): boolean;
}

const IV_BYTES = 12;
const TAG_BYTES = 16;

/** @param previous keys that are only read with. */
export function createSecretBox(current: EncryptionKey | null, previous: readonly EncryptionKey[] = []): SecretBox {
  const known = current === null ? [] : [current, ...previous];
  const wanted =
    current === null
      ? "POSTHORN_ENCRYPTION_KEY is not set"
      : `wanted key ${known.map(({ id }) => id).join(" or ")} of POSTHORN_ENCRYPTION_KEY`;

  return {
    seal(owner, secret) {
      if (current === null) return secret;
      const iv = randomBytes(IV_BYTES);
      const cipher = createCipheriv("aes-256-gcm", current.key, iv).setAAD(Buffer.from(owner));
      const sealed = Buffer.concat([cipher.update(secret, "utf8"), cipher.final()]);
      return `enc:v1:${current.id}:${Buffer.concat([iv, cipher.getAuthTag(), sealed]).toString("base64")}`;
    },

    open(owner, stored) {
      if (!stored.startsWith("enc:")) return stored;
      const [, version, keyId, text = ""] = stored.split(":");
      const unreadable = (found: string): AppError => {
        const what = owner.startsWith("_") ? `the secret ${owner}` : `the client secret of app ${owner}`;
        return new AppError("SECRET_UNREADABLE", `${what}: found ${found}, ${wanted}`);
      };
      if (version !== "v1") throw unreadable(`the unknown form ${version}`);
      const key = known.find(({ id }) => id === keyId);
      if (key === undefined) throw unreadable(`it encrypted with key ${keyId}`);
      const bytes = Buffer.from(text, "base64");
      try {
        const decipher = createDecipheriv("aes-256-gcm", key.key, bytes.subarray(0, IV_BYTES), { authTagLength: TAG_BYTES })
          .setAAD(Buffer.from(owner))
          .setAuthTag(bytes.subarray(IV_BYTES, IV_BYTES + TAG_BYTES));
        return Buffer.concat([decipher.update(bytes.subarray(IV_BYTES + TAG_BYTES)), decipher.final()]).toString("utf8");
      } catch {
        throw unreadable(`it encrypted with another key of the id ${keyId}, or for another record`);
      }
    },

    isCurrent: (stored) => (current === null ? !stored.startsWith("enc:") : stored.startsWith(`enc:v1:${current.id}:`)),
  };
}
