/**
 * The secrets in a webhook URL, and the URL without them. Receivers put credentials everywhere: user and password, the
 * query, and the path, as Slack and Discord do.
 *
 * A path segment counts as a secret when it looks random (isTokenLike) or follows a segment such as `token` or `key`.
 */
import { memoize } from "../memo.ts";

const MASK = "REDACTED";
const PATH = /^([a-z][a-z0-9+.-]*:\/\/[^/?#\\]*)?([^?#]*)/i;
const USER_INFO = /^([a-z][a-z0-9+.-]*:\/\/)[^/?#\\]*@/i;
const SECRET_NAME = /^(?:(?:access|api|auth|client|secret|webhook)[-_]?)?(?:key|token|secret|password)s?$/i;

/** URLs of which the result is kept: every attempt asks. */
const KEPT = 20_000;

/** For rows, log lines, spans and status events: scheme, host and the readable part of the path. */
export const withoutSecrets = memoize(KEPT, (url) => {
  const [, origin = "", path = ""] = PATH.exec(url) ?? [];
  const masked = origin + maskedPath(path, MASK);
  return masked.includes("@") ? masked.replace(USER_INFO, `$1${MASK}:${MASK}@`) : masked;
});

/** The URL with `mask` for each secret in its path. */
export function withMaskedPath(url: string, mask: string): string {
  return url.replace(PATH, (_shown, origin = "", path = "") => origin + maskedPath(path, mask));
}

/** Everything in the URL that is masked, as it is written there. */
export function urlSecrets(url: string): string[] {
  const secrets: string[] = [];
  const userInfo = USER_INFO.exec(url)?.[0]
    .replace(/^[^/]*\/\//, "")
    .slice(0, -1);
  if (userInfo !== undefined) secrets.push(userInfo, ...splitOnce(userInfo, ":"));
  const [beforeFragment = "", fragment = ""] = splitOnce(url, "#");
  const [beforeQuery = "", query = ""] = splitOnce(beforeFragment, "?");
  for (const part of [query, fragment]) {
    secrets.push(part);
    // A parameter without a value, `?t0ken`, is a value without a name.
    for (const pair of part.split("&")) secrets.push(splitOnce(pair, "=")[1] || pair.replace(/=$/, ""));
  }
  secrets.push(...secretSegments(PATH.exec(beforeQuery)?.[2] ?? ""));
  return secrets.filter((secret) => secret !== "");
}

function maskedPath(path: string, mask: string): string {
  const segments = path.split("/");
  return segments.map((segment, at) => (isSecretSegment(segments, at) ? mask : segment)).join("/");
}

function secretSegments(path: string): string[] {
  const segments = path.split("/");
  return segments.filter((_segment, at) => isSecretSegment(segments, at));
}

function isSecretSegment(segments: readonly string[], at: number): boolean {
  const segment = segments[at] ?? "";
  return segment !== "" && (isTokenLike(segment) || SECRET_NAME.test(segments[at - 1] ?? ""));
}

/**
 * Whether a path segment looks random rather than written by a person. Words, words with a number (`team42`, `v2`) and
 * short numbers don't; a passphrase of plain words isn't recognized.
 */
function isTokenLike(segment: string): boolean {
  if (segment.length < 4) return false;
  if (/^(?=.*[A-Z])[A-Z0-9]+$/.test(segment)) return true;
  const parts = segment.split(/[^A-Za-z0-9]+/);
  if (parts.some(isRandom)) return true;
  // A token with separators, such as a UUID, has digits in several of its parts.
  return segment.length >= 20 && parts.filter((part) => /\d/.test(part) && !/^v?\d{1,4}$/.test(part)).length >= 2;
}

function isRandom(part: string): boolean {
  if (part.length < 5) return false;
  if (/^\d+$/.test(part)) return part.length >= 12;
  if (/^[A-Za-z]+$/.test(part)) return part.length >= 20 || (part.length >= 8 && caseChanges(part) * 3 > part.length);
  return !/^[A-Za-z]?[a-z]+\d{1,4}$/.test(part);
}

function caseChanges(word: string): number {
  return [...word.slice(1)].filter((character, at) => /[A-Z]/.test(character) !== /[A-Z]/.test(word[at] ?? "")).length;
}

function splitOnce(text: string, separator: string): [string, string] {
  const at = text.indexOf(separator);
  return at === -1 ? [text, ""] : [text.slice(0, at), text.slice(at + separator.length)];
}
