/**
 * Verifies a webhook's signatures by the text of Standard Webhooks 1.0.0, without any code of a sender or a client: what
 * signs must not be what is believed.
 */
import { createHmac, createPublicKey, type KeyObject, timingSafeEqual, verify } from "node:crypto";

export interface SignedWebhook {
  readonly id: string;
  readonly timestamp: string;
  readonly body: Buffer;
  /** The value of webhook-signature. */
  readonly signatures: string;
}

type Key = { readonly version: "v1"; readonly bytes: Buffer } | { readonly version: "v1a"; readonly key: KeyObject };

const SYMMETRIC_BYTES = { least: 24, most: 64 } as const;
const PUBLIC_KEY_BYTES = 32;

/** Null: the secret is written as the specification wants it; else what is wrong. */
export function secretProblem(secret: string): string | null {
  const [, prefix, text = ""] = /^(whsec_|whpk_)(.*)$/.exec(secret) ?? [];
  if (prefix === undefined) return `the secret begins with neither whsec_ nor whpk_`;
  const bytes = base64Bytes(text);
  if (bytes === null) return `the secret is not base64 behind ${prefix}`;
  const { least, most } = prefix === "whpk_" ? { least: PUBLIC_KEY_BYTES, most: PUBLIC_KEY_BYTES } : SYMMETRIC_BYTES;
  if (bytes.length >= least && bytes.length <= most) return null;
  return `the secret has ${bytes.length} bytes, wanted ${least === most ? least : `${least} to ${most}`}`;
}

/** @returns whether one of the signatures is right; the others may be of a secret that is being replaced, or of another kind */
export function isSignedBy(secret: string, { id, timestamp, body, signatures }: SignedWebhook): boolean {
  const key = keyOf(secret);
  if (key === null) return false;
  const content = Buffer.concat([Buffer.from(`${id}.${timestamp}.`), body]);
  const given = signatures.split(" ").flatMap((one) => (one.startsWith(`${key.version},`) ? [one.slice(key.version.length + 1)] : []));
  if (key.version === "v1a") return given.some((one) => verify(null, content, key.key, Buffer.from(one, "base64")));
  const wanted = Buffer.from(createHmac("sha256", key.bytes).update(content).digest("base64"));
  return given.map((one) => Buffer.from(one)).some((one) => one.length === wanted.length && timingSafeEqual(one, wanted));
}

/** A secret without its prefix is read as a symmetric one: that the prefix is missing is a finding of its own. */
function keyOf(secret: string): Key | null {
  const bytes = base64Bytes(secret.replace(/^(whsec_|whpk_)/, ""));
  if (bytes === null || bytes.length === 0) return null;
  if (!secret.startsWith("whpk_")) return { version: "v1", bytes };
  if (bytes.length !== PUBLIC_KEY_BYTES) return null;
  return { version: "v1a", key: createPublicKey({ format: "jwk", key: { kty: "OKP", crv: "Ed25519", x: bytes.toString("base64url") } }) };
}

function base64Bytes(text: string): Buffer | null {
  const bytes = Buffer.from(text, "base64");
  return bytes.toString("base64").replace(/=+$/, "") === text.replace(/=+$/, "") ? bytes : null;
}
