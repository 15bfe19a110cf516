/** No secret of an app survives redaction in any form, and redaction itself can't be made slow or large. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { withoutSecretsOf } from "../../../../src/model/redaction/app-secrets.ts";
import { MOST_VIEWS } from "../../../../src/model/redaction/byte-view.ts";
import { cutText, MAX_BODY_BYTES, REDACTED, redact } from "../../../../src/model/redaction/redact.ts";
import { createSecretMatcher } from "../../../../src/model/redaction/secret-matcher.ts";
import { anApp, SECRET } from "../../../support/builders.ts";
import { cases } from "../../../support/fuzz.ts";

const URL = "https://hooks.acme.example/in";
const matcher = (values: readonly string[]) => createSecretMatcher(values.map((value) => Buffer.from(value)));
const redacted = (text: string, ...values: string[]): string => redact(text, [matcher(values)]).text;

const each = (text: string, form: (character: string) => string): string => [...text].map(form).join("");
const hex = (character: string): string => (character.codePointAt(0) ?? 0).toString(16);
const utf16 = (text: string, form: (unit: string) => string): string =>
  text
    .split("")
    .map((unit) => form(unit.charCodeAt(0).toString(16).padStart(4, "0")))
    .join("");
const bytesOf = (text: string, form: (byte: string) => string): string =>
  [...Buffer.from(text)].map((byte) => form(byte.toString(16).padStart(2, "0"))).join("");
const base64 = (text: string): string => Buffer.from(text).toString("base64");

/** Name of an encoding → what does it. */
const FORMS: Record<string, (text: string) => string> = {
  "as it is": (text) => text,
  "in upper case": (text) => text.replace(/[a-z]/g, (letter) => letter.toUpperCase()),
  "in JSON": (text) => JSON.stringify(text),
  "in JSON with escaped slashes": (text) => JSON.stringify(text).replaceAll("/", "\\/"),
  "in \\u escapes": (text) => utf16(text, (digits) => `\\u${digits}`),
  "in upper-case \\u escapes, signs only": (text) =>
    text.replace(/[^A-Za-z0-9]/gu, (sign) => utf16(sign, (digits) => `\\u${digits.toUpperCase()}`)),
  "in JSON in JSON": (text) => JSON.stringify(JSON.stringify(text)),
  "in JSON in JSON in JSON": (text) => JSON.stringify(JSON.stringify(JSON.stringify(text))),
  "in HTML with named entities": (text) =>
    text.replace(/[&<>"']/g, (sign) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&apos;" })[sign] ?? sign),
  "in HTML with decimal entities": (text) => each(text, (character) => `&#${character.codePointAt(0)};`),
  "in HTML with hexadecimal entities": (text) => each(text, (character) => `&#X${hex(character)};`),
  "percent-encoded": (text) => encodeURIComponent(text),
  "percent-encoded in lower case": (text) => bytesOf(text, (digits) => `%${digits}`),
  "percent-encoded twice": (text) => encodeURIComponent(encodeURIComponent(text)),
  "as a form": (text) => new URLSearchParams({ value: text }).toString(),
  "percent-encoded in JSON": (text) => JSON.stringify(encodeURIComponent(text)),
  "in HTML in JSON": (text) => JSON.stringify(each(text, (character) => `&#${character.codePointAt(0)};`)),
  "in base64": base64,
  "in base64url": (text) => Buffer.from(text).toString("base64url"),
  "in Basic credentials, as the password": (text) => base64(`user:${text}`),
  "in Basic credentials, as the user": (text) => base64(`${text}:password`),
  "in base64 behind two bytes, between others": (text) => base64(`"${"-"}${text}"}`),
  "in base64 in JSON with escaped slashes": (text) => JSON.stringify(base64(`{"a":"?>${text}"}`)).replaceAll("/", "\\/"),
  "in base64, percent-encoded": (text) => encodeURIComponent(base64(text)),
  "in base64 of JSON": (text) => base64(JSON.stringify({ text })),
  "in hex": (text) => Buffer.from(text).toString("hex"),
  "in upper-case hex": (text) => Buffer.from(text).toString("hex").toUpperCase(),
};
const SHORT_TOO = Object.keys(FORMS).filter((name) => !/behind two|base64 (in|of)/.test(name));

const VALUES = [
  ...[
    "Bearer abcdef-0123+/4567==",
    'quo"ted\\back/slash&<tag>',
    "grüße-🚀-münchen",
    "a b c d e f g",
    "p%2Bq%20r-literal",
    "\\u0041-literal",
  ],
  ...["redact", "acted]", "[redac", "aaaaaaaa"],
];

describe.each(Object.entries(FORMS))("a value %s", (name, form) => {
  test.each(VALUES)("is taken out: %s", (value) => {
    const encoded = form(value);
    const shown = redacted(`before <${encoded}> after`, value);
    expect(shown).toMatch(/^before .* after$/);
    expect(shown).toContain(REDACTED);
    expect(shown.replaceAll(REDACTED, "")).not.toContain(encoded.replaceAll(REDACTED, ""));
    // Nothing of it but what surrounds it in its own encoding is left.
    expect(shown.length).toBeLessThan(
      "before <> after".length + REDACTED.length + (name.includes("base64") || name.includes("Basic") ? 40 : 16),
    );
  });

  test.skipIf(!SHORT_TOO.includes(name)).each(["k3y", "x-1/2"])("is taken out when it is short: %s", (value) => {
    const shown = redacted(`before <${form(value)}> after`, value);
    expect(shown).toMatch(/^before <.*\[redacted\].*> after$/);
  });
});

describe("a short value", () => {
  test("is a word of its own, and leaves the words alone that contain it", () => {
    expect(redacted('{"error":"error 1 of 100, key abc in abcabc"}', "1", "abc")).toBe(
      '{"error":"error [redacted] of 100, key [redacted] in abcabc"}',
    );
  });

  test("of signs only is no secret", () => {
    expect(redacted("2026-01-05 -", "-")).toBe("2026-01-05 -");
  });
});

describe("the secrets of an app", () => {
  const app = anApp({
    headers: {
      Authorization: "Bearer tok/en+1",
      "X-Basic": `Basic ${base64("user:passw0rd")}`,
      "X-Signed": 'Signature keyId="the-key-id",value="abcdef123456"',
      Cookie: "sid=s1d; lang=x",
      "X-Pin": "0042",
    },
    previousSecret: { value: "e".repeat(64), validUntil: 0 },
  });
  const url = "https://hooks.slack.com/services/T000/B000/xoxbAbC123?key=s3cr%2Bet&flag#frag-token";

  test.each([
    ...["tok/en+1", "Bearer tok/en+1", "Bearer%20tok%2Fen%2B1", "tok\\/en\\u002b1", "passw0rd", "user:passw0rd", base64("user:passw0rd")],
    ...[base64("other:passw0rd"), "the-key-id", "abcdef123456", "s1d", "0042", SECRET, SECRET.toUpperCase(), "e".repeat(64)],
    ...[Buffer.from(SECRET, "hex").toString("base64"), base64(SECRET), "T000", "B000", "xoxbAbC123", "s3cr+et", "s3cr%2bet", "frag-token"],
    ...["/services/T000/B000/xoxbAbC123", "flag"],
  ])("have %s", (text) => {
    const shown = withoutSecretsOf(app, url, `you sent "${text}" here`);
    expect(shown).toMatch(/^you sent "(\/services\/|b3RoZXI6|\[redacted\][/:=]*)+" here$/);
  });

  test("have no scheme and no name of a parameter", () => {
    const text = "Bearer Basic Signature keyId value sid services hooks.slack.com key";
    expect(withoutSecretsOf(app, url, text)).toBe(text);
  });

  test("of another URL are others", () => {
    expect(withoutSecretsOf(app, "https://a.example/?key=other-key", "s3cr+et other-key")).toBe("s3cr+et [redacted]");
    expect(withoutSecretsOf(app, url, "s3cr+et other-key")).toBe("[redacted] other-key");
  });
});

describe("where the cut goes through a secret, nothing of it is left", () => {
  const value = "Bearer tok/en+1-grüße-0123456789";
  test.each(Object.keys(FORMS).filter((name) => !/upper case/.test(name)))("%s", (name) => {
    const encoded = FORMS[name]?.(value) ?? "";
    for (let before = 2048 - encoded.length; before < 2048; before++) {
      // Two of it, so that what is left of the text is shorter than what is kept.
      const text = `${encoded} ${"1234567890 ".repeat(200)}`.slice(0, before);
      const { text: shown } = redact(
        `${value.repeat(30)} ${text.slice(value.length * 30)} ${encoded}${"z".repeat(3000)}`,
        [matcher([value])],
        4096,
      );
      expect(shown).not.toMatch(/Bear|tok.{0,5}en|gr.{0,16}e-0/);
      expect(shown).not.toContain(FORMS[name]?.("Bear").replace(/"$|=+$/, ""));
    }
  });
});

describe("redaction can't be made slow or large", () => {
  const values = fc.array(fc.oneof(fc.stringMatching(/^[redact[\]]{1,12}$/), fc.string({ minLength: 1, maxLength: 40 })), {
    maxLength: 60,
  });
  /** Two for each byte of each reading of what is searched. */
  const MOST_STEPS = 2 * MOST_VIEWS * 2 * MAX_BODY_BYTES;

  test("whatever the values and the text are", () => {
    const forms = Object.values(FORMS);
    const piece = fc.tuple(fc.nat(), fc.nat(), fc.string({ maxLength: 20 }));
    fc.assert(
      fc.property(values, fc.array(piece, { maxLength: 60 }), (secrets, pieces) => {
        const text = pieces.map(([which, form, between]) => {
          const secret = secrets[which % Math.max(1, secrets.length)] ?? "";
          return `${between} ${forms[form % forms.length]?.(secret) ?? ""} `;
        });
        const { text: shown, steps } = redact(text.join(""), [matcher(secrets)]);
        expect(Buffer.byteLength(shown)).toBeLessThanOrEqual(MAX_BODY_BYTES);
        expect(steps).toBeLessThanOrEqual(MOST_STEPS);
        const left = shown.split(REDACTED);
        for (const secret of secrets.filter(({ length }) => length >= 6)) {
          for (const form of forms) for (const part of left) expect(part).not.toContain(form(secret));
        }
      }),
      cases(0.5),
    );
  });

  test.each<[what: string, secrets: string[], body: string]>([
    [
      "values that are parts of the replacement",
      Array.from({ length: 227 }, (_, n) => ["redact", "[redac", "acted]", "dacted"][n % 4] ?? ""),
      "redact".repeat(2730),
    ],
    ["values that begin alike", Array.from({ length: 227 }, (_, n) => `${"a".repeat(4000)}${n}`), "a".repeat(64 * 1024)],
    ["values within each other", Array.from({ length: 227 }, (_, n) => "ab".repeat(n + 3)), "ab".repeat(32 * 1024)],
    ["short values", Array.from({ length: 200 }, (_, n) => n.toString(36)), "a b c 1 2 3 ".repeat(5000)],
    ["a body of escapes", ["secret-value"], "\\\\u005cu0025".repeat(5000)],
    ["escapes of every kind in every other", ["secret-value"], '\\u0026#x25;25%5cu0025%26quot;&#92;&percnt;5c"'.repeat(500)],
  ])("%s", (_what, secrets, body) => {
    const { text, steps } = redact(body, [matcher(secrets)]);
    expect(Buffer.byteLength(text)).toBeLessThanOrEqual(MAX_BODY_BYTES);
    expect(steps).toBeLessThanOrEqual(MOST_STEPS);
  });

  test("a header's value is taken apart in one pass", () => {
    const app = anApp({
      headers: { a: "a".repeat(100_000), b: "=".repeat(100_000), c: " ".repeat(100_000), d: `x=${'"'.repeat(100_000)}` },
    });
    expect(withoutSecretsOf(app, URL, "a".repeat(100_000))).toBe(REDACTED);
  });

  test("bytes that are no text become longer than they were, and still fit", () => {
    expect(Buffer.byteLength(redact(Buffer.alloc(2000, 0xff), [matcher(["secret"])]).text)).toBeLessThanOrEqual(MAX_BODY_BYTES);
  });

  test("a replacement is whole or left out", () => {
    const shown = redact(`${"x".repeat(MAX_BODY_BYTES - 4)} secret-value`, [matcher(["secret-value"])]).text;
    expect(shown).toBe(`${"x".repeat(MAX_BODY_BYTES - 4)} `);
  });

  test("a URL without secrets costs nothing it doesn't need", () => {
    expect(withoutSecretsOf(anApp(), URL, "answered with status 500")).toBe("answered with status 500");
  });
});

describe("the cut", () => {
  test("is at 1024 bytes", () => {
    expect(cutText("x".repeat(1024))).toHaveLength(1024);
    expect(cutText("x".repeat(1025))).toHaveLength(1024);
  });

  test.each([
    ["2 bytes", "é", 1023],
    ["3 bytes", "€", 1022],
    ["3 bytes, one of them inside", "€", 1023],
    ["4 bytes", "🚀", 1021],
    ["4 bytes, three of them inside", "🚀", 1023],
  ])("never goes through a character of %s", (_what, character, before) => {
    const cut = cutText("x".repeat(before) + character.repeat(3));
    const bytes = Buffer.byteLength(cut);
    expect(bytes).toBeLessThanOrEqual(1024);
    expect(bytes).toBeGreaterThan(1024 - Buffer.byteLength(character));
    expect(cut).not.toContain("\ufffd");
  });
});
