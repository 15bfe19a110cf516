/**
 * Both signatures of a webhook (docs/design.md 3.4): the vendor's hex HMAC over the body, and Standard Webhooks'
 * `v1,<base64>` over `<id>.<timestamp>.<body>` (https://github.com/standard-webhooks/standard-webhooks).
 * The key of both is the client secret's UTF-8 bytes.
 */
import { createHmac, createSecretKey, type KeyObject } from "node:crypto";
import type { App } from "../model/app.ts";
import type { WebhookBody } from "./envelope.ts";

interface Keys {
  readonly current: KeyObject;
  readonly previous: { readonly key: KeyObject; readonly validUntil: number } | null;
}

// App values are immutable: a rotation creates a new one, and the old keys are collected with the old value.
const keysByApp = new WeakMap<App, Keys>();

function keysOf(app: App): Keys {
  let keys = keysByApp.get(app);
  if (keys === undefined) {
    const previous = app.previousSecret;
    keys = {
      current: createSecretKey(app.clientSecret, "utf8"),
      previous: previous && { key: createSecretKey(previous.value, "utf8"), validUntil: previous.validUntil },
    };
    keysByApp.set(app, keys);
  }
  return keys;
}

export interface Signatures {
  /** Lower-case hex. */
  readonly vendor: string;
  /** One `v1,<base64>`, or two with a space between while a rotated secret is still valid. */
  readonly standard: string;
}

export function sign(app: App, deliveryId: string, timestampS: number, { head, tail }: WebhookBody, nowMs: number): Signatures {
  const { current, previous } = keysOf(app);
  const signed = `${deliveryId}.${timestampS}.${head}`;
  let standard = `v1,${createHmac("sha256", current).update(signed).update(tail).digest("base64")}`;
  if (previous !== null && nowMs < previous.validUntil) {
    standard += ` v1,${createHmac("sha256", previous.key).update(signed).update(tail).digest("base64")}`;
  }
  return { vendor: createHmac("sha256", current).update(head).update(tail).digest("hex"), standard };
}
