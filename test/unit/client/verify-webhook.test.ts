import { createHmac } from "node:crypto";
import { Webhook } from "standardwebhooks";
import { describe, expect, test } from "vitest";
import { type VerifyWebhookInput, verifyWebhook } from "../../../src/client/verify-webhook.ts";
import { SECRET, UUID } from "../../support/builders.ts";

const body = JSON.stringify({ action: "created", installation: { uuid: UUID }, data: { name: "Grüße 🚀" }, actor: { type: "user" } });
const now = new Date("2026-01-05T12:00:00Z");
const timestamp = String(now.getTime() / 1000);
const whsec = `whsec_${Buffer.from(SECRET).toString("base64")}`;

const standard = {
  "Webhook-Id": "dlv_1",
  "Webhook-Timestamp": timestamp,
  "Webhook-Signature": new Webhook(whsec).sign("dlv_1", now, body),
  "Sentry-Hook-Resource": "issue",
};
const vendor = { "sentry-hook-timestamp": timestamp, "sentry-hook-signature": createHmac("sha256", SECRET).update(body).digest("hex") };

const verify = (changes: Partial<VerifyWebhookInput> = {}) => verifyWebhook({ body, headers: standard, secret: SECRET, now, ...changes });

describe("a webhook is right", () => {
  test("with a Standard Webhooks signature, made by an independent library", () => {
    expect(verify()).toEqual({ deliveryId: "dlv_1", resource: "issue", ...JSON.parse(body) });
  });

  test("with the secret in its whsec_ form, and with one of several secrets", () => {
    expect(verify({ secret: whsec }).deliveryId).toBe("dlv_1");
    expect(verify({ secret: ["f".repeat(64), SECRET] }).deliveryId).toBe("dlv_1");
  });

  test("with one of several signatures, as during a rotation", () => {
    expect(verify({ headers: { ...standard, "Webhook-Signature": `v1,AAAA v2,xyz ${standard["Webhook-Signature"]}` } }).deliveryId).toBe(
      "dlv_1",
    );
  });

  test("with the vendor's signature where there is no other, when that is asked for", () => {
    const allowed = { headers: vendor, allowUnsignedTimestamp: true };
    expect(verify(allowed)).toMatchObject({ deliveryId: null, action: "created" });
    const acme = { "acme-timestamp": timestamp, "acme-signature": vendor["sentry-hook-signature"] };
    expect(verify({ ...allowed, headers: acme, headerPrefix: "Acme" }).action).toBe("created");
    expect(verify({ ...allowed, headers: { ...standard, ...vendor } }).deliveryId).toBe("dlv_1");
  });

  test("with bytes, fetch headers and lists of values", () => {
    expect(verify({ body: Buffer.from(body), headers: new Headers(standard) }).deliveryId).toBe("dlv_1");
    expect(verify({ headers: Object.fromEntries(Object.entries(standard).map(([name, value]) => [name, [value]])) }).deliveryId).toBe(
      "dlv_1",
    );
  });
});

describe("a webhook is refused", () => {
  const vendorToo = { allowUnsignedTimestamp: true };
  const away = (seconds: number) => new Date(now.getTime() + seconds * 1000);
  test.each<[string, Partial<VerifyWebhookInput>, RegExp]>([
    ["with another body", { body: `${body} ` }, /header webhook-signature: no signature is right/],
    ["with another secret", { secret: "f".repeat(64) }, /no signature is right/],
    ["with another id", { headers: { ...standard, "Webhook-Id": "dlv_2" } }, /no signature is right/],
    ["with another timestamp", { headers: { ...standard, "Webhook-Timestamp": String(Number(timestamp) + 1) } }, /no signature is right/],
    ["6 minutes late", { now: away(360) }, /webhook-timestamp: 360 s away from now, wanted at most 300/],
    ["6 minutes early", { now: away(-360) }, /360 s away/],
    ["with a timestamp that is none", { headers: { ...standard, "Webhook-Timestamp": "soon" } }, /found "soon", wanted unix seconds/],
    ["without a signature", { headers: {} }, /header webhook-id is missing/],
    [
      "without a signature where the vendor's would do",
      { headers: {}, ...vendorToo },
      /neither webhook-signature nor Sentry-Hook-Signature/,
    ],
    ["with the vendor's signature only", { headers: vendor }, /webhook-id is missing; Sentry-Hook-Signature alone counts only with/],
    [
      "captured 30 days ago, without webhook-signature and with the vendor's timestamp set to now",
      {
        headers: {
          ...standard,
          ...vendor,
          "Webhook-Signature": undefined,
          "sentry-hook-timestamp": String(now.getTime() / 1000 + 2_592_000),
        },
        now: away(2_592_000),
      },
      /header webhook-signature is missing/,
    ],
    ["with a wrong vendor signature", { headers: { ...vendor, "sentry-hook-signature": "ab".repeat(32) }, ...vendorToo }, /not right/],
    ["with a vendor signature that is no hex", { headers: { ...vendor, "sentry-hook-signature": "zz" }, ...vendorToo }, /not right/],
    ["with an old vendor timestamp", { headers: vendor, now: away(301), ...vendorToo }, /Sentry-Hook-Timestamp: 301 s away/],
    ["without a secret", { secret: [] }, /no secret was given/],
    ["with an empty secret", { secret: "" }, /the secret: found an empty text, wanted 64 lower-case hex digits/],
    ["with an empty secret beside a right one", { secret: [SECRET, ""] }, /found an empty text/],
    ["with an empty whsec_ secret", { secret: "whsec_" }, /the secret: found 6 characters/],
    ["with a short whsec_ secret", { secret: `whsec_${Buffer.alloc(23).toString("base64")}` }, /wanted .* at least 24 bytes/],
    ["with a whsec_ secret that is no base64", { secret: `${whsec.slice(0, -4)}!!==` }, /the secret: found/],
    ["with a cut secret", { secret: SECRET.slice(1) }, /the secret: found 63 characters/],
    ["with a secret in upper case", { secret: SECRET.toUpperCase() }, /wanted 64 lower-case/],
    ["with a line break behind the secret", { secret: `${SECRET}\n` }, /the secret: found 65 characters/],
  ])("%s", (_what, changes, message) => {
    expect(() => verify(changes)).toThrow(message);
  });

  test("and the error never has the secret", () => {
    expect(() => verify({ secret: "not-64-hex-digits" })).toThrow(/^(?!.*not-64)/);
  });

  test("an empty key signs nothing that is taken", () => {
    const forged = { ...vendor, "sentry-hook-signature": createHmac("sha256", "").update(body).digest("hex") };
    for (const secret of ["", "whsec_", "whsec_="]) expect(() => verify({ secret, headers: forged, ...vendorToo })).toThrow(/the secret/);
  });

  test("a tolerance of one's own counts", () => {
    expect(verify({ now: away(360), toleranceSeconds: 400 }).deliveryId).toBe("dlv_1");
  });
});
