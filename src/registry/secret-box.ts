/**
 * Client secrets at rest: `enc:v1:<key id>:<base64 of iv, tag and ciphertext>` with AES-256-GCM, the app's slug as
 * additional data so that a ciphertext can't be moved to another record. Without a key they are stored in the clear.
 */
import { createCipheriv, createDecipheriv, randomBytes } from "node:crypto";
import { AppError } from "../model/app-error.ts";

export interface SecretBox {
  seal(slug: string, secret: string): string;
  /** @throws AppError SECRET_UNREADABLE */
  open(slug: string, stored: string): string;
}

const IV_BYTES = 12;
const TAG_BYTES = 16;

export function createSecretBox(encryptionKey: { readonly id: string; readonly key: Buffer } | null): SecretBox {
  return {
    seal(slug, secret) {
      if (encryptionKey === null) return secret;
      const iv = randomBytes(IV_BYTES);
      const cipher = createCipheriv("aes-256-gcm", encryptionKey.key, iv).setAAD(Buffer.from(slug));
      const sealed = Buffer.concat([cipher.update(secret, "utf8"), cipher.final()]);
      return `enc:v1:${encryptionKey.id}:${Buffer.concat([iv, cipher.getAuthTag(), sealed]).toString("base64")}`;
    },

    open(slug, stored) {
      if (!stored.startsWith("enc:")) return stored;
      const [, version, keyId, text = ""] = stored.split(":");
      const unreadable = (why: string): AppError =>
        new AppError("SECRET_UNREADABLE", `the client secret of app ${slug} can't be read: ${why}`);
      if (version !== "v1") throw unreadable(`unknown form ${version}`);
      if (encryptionKey === null) throw unreadable(`it is encrypted with key ${keyId} and POSTHORN_ENCRYPTION_KEY is not set`);
      if (keyId !== encryptionKey.id)
        throw unreadable(`it is encrypted with key ${keyId}, POSTHORN_ENCRYPTION_KEY is key ${encryptionKey.id}`);
      const bytes = Buffer.from(text, "base64");
      const decipher = createDecipheriv("aes-256-gcm", encryptionKey.key, bytes.subarray(0, IV_BYTES))
        .setAAD(Buffer.from(slug))
        .setAuthTag(bytes.subarray(IV_BYTES, IV_BYTES + TAG_BYTES));
      try {
        return Buffer.concat([decipher.update(bytes.subarray(IV_BYTES + TAG_BYTES)), decipher.final()]).toString("utf8");
      } catch {
        throw unreadable(`key ${keyId} is not the one it was encrypted with`);
      }
    },
  };
}
