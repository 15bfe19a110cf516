/**
 * Verifies a received webhook by its Standard Webhooks signature, which covers the body, the id and the timestamp. The vendor's
 * hex HMAC covers only the body, so a captured webhook stays valid with a new timestamp; it is accepted only on request. Both
 * cover the raw bytes: verify before parsing.
 */
import { createHmac, timingSafeEqual } from "node:crypto";
import { AppError } from "../model/app-error.ts";

type HeaderValue = string | readonly string[] | undefined;

export interface VerifyWebhookInput {
  /** As received, before any parsing. */
  readonly body: Uint8Array | string;
  /** Headers of node:http or fetch, or any record; names in any case. */
  readonly headers: Readonly<Record<string, HeaderValue>> | { get(name: string): string | null };
  /** The client secret (64 lower-case hex digits), or `whsec_…`; several during a rotation. */
  readonly secret: string | readonly string[];
  /**
   * Accepts the vendor's signature if the Standard Webhooks headers are missing, for receivers behind a proxy that drops them. An
   * old webhook can't be distinguished from a new one then: refuse every webhook that you have handled before, forever.
   */
  readonly allowUnsignedTimestamp?: boolean;
  /** POSTHORN_HEADER_PREFIX; `Sentry-Hook` by default. */
  readonly headerPrefix?: string;
  /** Maximum difference between the timestamp and now, in either direction. */
  readonly toleranceSeconds?: number;
  readonly now?: Date;
}

export interface VerifiedWebhook {
  /** The same for every attempt: remember it to skip duplicates. Null without Standard Webhooks headers. */
  readonly deliveryId: string | null;
  readonly resource: string | null;
  readonly action: string;
  readonly installation: { readonly uuid: string };
  readonly data: Readonly<Record<string, unknown>>;
  readonly actor: Readonly<Record<string, unknown>>;
}

const DEFAULT_TOLERANCE_S = 300;
/** Minimum of the Standard Webhooks specification. */
const SHORTEST_KEY_BYTES = 24;

/** @throws AppError WEBHOOK_INVALID naming the failed check */
export function verifyWebhook(input: VerifyWebhookInput): VerifiedWebhook {
  const { headerPrefix = "Sentry-Hook", toleranceSeconds = DEFAULT_TOLERANCE_S, now = new Date(), allowUnsignedTimestamp = false } = input;
  const body = typeof input.body === "string" ? Buffer.from(input.body) : Buffer.from(input.body);
  const keys = (typeof input.secret === "string" ? [input.secret] : input.secret).map(keyOf);
  if (keys.length === 0) throw invalid("no secret was given");
  const header = headerReader(input.headers);
  const checkTime = (name: string): string => {
    const timestamp = header(name);
    if (timestamp === undefined || !/^\d{1,12}$/.test(timestamp))
      throw invalid(`header ${name}: found ${JSON.stringify(timestamp)}, wanted unix seconds`);
    const differenceS = Math.abs(now.getTime() / 1000 - Number(timestamp));
    if (differenceS > toleranceSeconds)
      throw invalid(`header ${name}: ${Math.round(differenceS)} s away from now, wanted at most ${toleranceSeconds}`);
    return timestamp;
  };

  const id = header("webhook-id");
  const signatures = header("webhook-signature");
  if (!allowUnsignedTimestamp || (id !== undefined && signatures !== undefined)) {
    if (id === undefined || signatures === undefined)
      throw invalid(
        `header ${id === undefined ? "webhook-id" : "webhook-signature"} is missing; ${headerPrefix}-Signature alone counts only with allowUnsignedTimestamp`,
      );
    const timestamp = checkTime("webhook-timestamp");
    const found = signatures
      .split(" ")
      .filter((part) => part.startsWith("v1,"))
      .map((part) => Buffer.from(part.slice(3), "base64"));
    const wanted = keys.map((key) => createHmac("sha256", key).update(`${id}.${timestamp}.`).update(body).digest());
    if (!matches(found, wanted)) throw invalid("header webhook-signature: no signature is right for this body and secret");
  } else {
    const name = `${headerPrefix}-Signature`;
    const signature = header(name);
    if (signature === undefined) throw invalid(`neither webhook-signature nor ${name} is there`);
    checkTime(`${headerPrefix}-Timestamp`);
    const wanted = keys.map((key) => createHmac("sha256", key).update(body).digest());
    if (!matches([Buffer.from(signature, "hex")], wanted)) throw invalid(`header ${name}: not right for this body and secret`);
  }

  return { deliveryId: id ?? null, resource: header(`${headerPrefix}-Resource`) ?? null, ...parse(body) };
}

/** Compares every pair in constant time. */
function matches(found: readonly Buffer[], wanted: readonly Buffer[]): boolean {
  let isRight = false;
  for (const one of found) {
    for (const other of wanted) {
      if (one.length === other.length && timingSafeEqual(one, other)) isRight = true;
    }
  }
  return isRight;
}

/**
 * The key is the client secret's UTF-8 bytes; `whsec_…` is their base64, or another sender's key. An empty or truncated secret is
 * a configuration error and would let anybody sign.
 */
function keyOf(secret: string): Buffer {
  if (/^[0-9a-f]{64}$/.test(secret)) return Buffer.from(secret);
  const [, text] = /^whsec_((?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?)$/.exec(secret) ?? [];
  const key = Buffer.from(text ?? "", "base64");
  if (key.length < SHORTEST_KEY_BYTES) {
    const found = secret === "" ? "an empty text" : `${secret.length} characters`;
    throw invalid(
      `the secret: found ${found}, wanted 64 lower-case hex digits, or whsec_ and the base64 of at least ${SHORTEST_KEY_BYTES} bytes`,
    );
  }
  return key;
}

function headerReader(headers: VerifyWebhookInput["headers"]): (name: string) => string | undefined {
  if (typeof headers["get"] === "function") {
    const { get } = headers as { get(name: string): string | null };
    return (name) => get.call(headers, name) ?? undefined;
  }
  const lowerCase = new Map(Object.entries(headers as Record<string, HeaderValue>).map(([name, value]) => [name.toLowerCase(), value]));
  return (name) => {
    const value = lowerCase.get(name.toLowerCase());
    return typeof value === "string" ? value : value?.[0];
  };
}

function parse(body: Buffer): Omit<VerifiedWebhook, "deliveryId" | "resource"> {
  try {
    return JSON.parse(body.toString("utf8")) as Omit<VerifiedWebhook, "deliveryId" | "resource">;
  } catch (error) {
    throw new AppError("WEBHOOK_INVALID", "the signature is right, but the body is not JSON", { cause: error });
  }
}

function invalid(why: string): AppError {
  return new AppError("WEBHOOK_INVALID", why);
}
