/**
 * The secrets of an app that a receiver could send back, and text without them. What counts: the client secret, the one
 * before it, the value of every custom header with the credentials in it, and what safe-url.ts finds in the URL.
 */
import type { App } from "../app.ts";
import { redact } from "./redact.ts";
import { urlSecrets } from "./safe-url.ts";
import { createSecretMatcher, type SecretMatcher } from "./secret-matcher.ts";

interface Matchers {
  readonly ofApp: SecretMatcher;
  /** For the last URL only: installations may have URLs of their own, too many to cache. */
  url: string;
  ofUrl: SecretMatcher;
}

// App values are immutable: a change creates a new one, and the old matchers are collected with the old value.
const matchersByApp = new WeakMap<App, Matchers>();

/** At most 1024 bytes, without the app's secrets and those of the URL. */
export function withoutSecretsOf(app: App, webhookUrl: string, text: Uint8Array | string): string {
  const { ofApp, ofUrl } = matchersOf(app, webhookUrl);
  return redact(text, [ofApp, ofUrl]).text;
}

function matchersOf(app: App, url: string): Matchers {
  let matchers = matchersByApp.get(app);
  if (matchers === undefined) {
    matchers = { ofApp: createSecretMatcher(appSecrets(app)), url, ofUrl: urlMatcher(url) };
    matchersByApp.set(app, matchers);
  }
  if (matchers.url !== url) Object.assign(matchers, { url, ofUrl: urlMatcher(url) });
  return matchers;
}

function urlMatcher(url: string): SecretMatcher {
  return createSecretMatcher(urlSecrets(url).map((secret) => Buffer.from(secret)));
}

function appSecrets({ clientSecret, previousSecret, headers }: App): Uint8Array[] {
  const clientSecrets = previousSecret === null ? [clientSecret] : [clientSecret, previousSecret.value];
  return [
    ...clientSecrets.flatMap((secret) => [Buffer.from(secret), Buffer.from(secret, "hex")]),
    ...Object.values(headers)
      .flatMap(credentialsOf)
      .map((secret) => Buffer.from(secret)),
  ].filter(({ length }) => length > 0);
}

/** A header's value, and the parts of it that are credentials: behind a scheme, in a list of parameters, in Basic's base64. */
function credentialsOf(value: string): string[] {
  const trimmed = value.trim();
  const [, scheme, rest] = /^([A-Za-z][A-Za-z-]*) +(\S.*)$/.exec(trimmed) ?? [];
  const credentials = rest ?? trimmed;
  // Split by hand: a regular expression is quadratic in a long value.
  const parameters = credentials
    .split(/[\s;,]+/)
    .flatMap((part) => (part.includes("=") ? [unquoted(part.slice(part.indexOf("=") + 1))] : []));
  const pair = scheme?.toLowerCase() === "basic" ? Buffer.from(credentials, "base64").toString("utf8") : "";
  const password = pair.includes(":") ? pair.slice(pair.indexOf(":") + 1) : "";
  return [trimmed, credentials, ...parameters, pair, password].filter((secret) => secret !== "");
}

function unquoted(text: string): string {
  return text.startsWith('"') && text.endsWith('"') ? text.slice(1, -1) : text;
}
