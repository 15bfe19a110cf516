/**
 * Secrets at rest: `enc:v1:<key id>:<base64 of iv, tag and ciphertext>` with AES-256-GCM. The owner's name is additional data, so
 * that a ciphertext can't be moved to another record. Without a key, secrets are stored in the clear; a secret that begins with
 * `enc:` is stored as `enc:clear:<text>`.
 */
import { createCipheriv, createDecipheriv, randomBytes } from "node:crypto";
import { AppError } from "../model/app-error.ts";

export interface EncryptionKey {
  readonly id: string;
  /** 32 bytes. */
  readonly key: Buffer;
}

/** An owner is an app's slug, optionally followed by the value's name, or a name that begins with `_`, as no slug does. */
export interface SecretBox {
  seal(owner: string, secret: string): string;
  /** @throws AppError SECRET_UNREADABLE */
  open(owner: string, stored: string): string;
  /** Whether `seal` would use the same form and key now. */
  isCurrent(stored: string): boolean;
  isEncrypted(stored: string): boolean;
}

const IV_BYTES = 12;
const TAG_BYTES = 16;
const PREFIX = "enc:";
const CLEAR = "enc:clear:";
/** Limit of a key's id in a message: the stored text may hold anything. */
const MAX_ID_LENGTH = 64;

/** @param previous keys for decryption only */
export function createSecretBox(current: EncryptionKey | null, previous: readonly EncryptionKey[] = []): SecretBox {
  const known = current === null ? [] : [current, ...previous];
  const wanted =
    current === null
      ? "POSTHORN_ENCRYPTION_KEY is not set"
      : `wanted key ${known.map(({ id }) => id).join(" or ")} of POSTHORN_ENCRYPTION_KEY`;

  return {
    seal(owner, secret) {
      if (current === null) return secret.startsWith(PREFIX) ? CLEAR + secret : secret;
      const iv = randomBytes(IV_BYTES);
      const cipher = createCipheriv("aes-256-gcm", current.key, iv).setAAD(Buffer.from(owner));
      const sealed = Buffer.concat([cipher.update(secret, "utf8"), cipher.final()]);
      return `enc:v1:${current.id}:${Buffer.concat([iv, cipher.getAuthTag(), sealed]).toString("base64")}`;
    },

    open(owner, stored) {
      if (!stored.startsWith(PREFIX)) return stored;
      if (stored.startsWith(CLEAR)) return stored.slice(CLEAR.length);
      const [, version, keyId, text = ""] = stored.split(":");
      const unreadable = (found: string): AppError => {
        return new AppError("SECRET_UNREADABLE", `${described(owner)}: found ${found}, ${wanted}`);
      };
      if (version !== "v1") throw unreadable("an unknown form");
      const key = known.find(({ id }) => id === keyId);
      if (key === undefined) throw unreadable(`it encrypted with key ${keyId?.slice(0, MAX_ID_LENGTH)}`);
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

    isEncrypted: (stored) => stored.startsWith(PREFIX) && !stored.startsWith(CLEAR),
    isCurrent: (stored) =>
      current === null ? !stored.startsWith(PREFIX) || stored.startsWith(CLEAR) : stored.startsWith(`enc:v1:${current.id}:`),
  };
}

/** `acme` → the client secret of app acme, `acme header x-key` → the header x-key of app acme. */
function described(owner: string): string {
  const [name = "", ...value] = owner.split(" ");
  if (name.startsWith("_")) return value.length === 0 ? `the secret ${name}` : `the ${value.join(" ")} of ${name.slice(1)}`;
  return `the ${value.length === 0 ? "client secret" : value.join(" ")} of app ${name}`;
}
