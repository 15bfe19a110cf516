/** Parsers for the value forms that settings use. Each throws an Error whose message says what was wanted. */
import { createPrivateKey, X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { BlockList, isIP } from "node:net";
import { compactJson } from "../model/json-text.ts";

const DURATION_UNITS_MS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

const LONGEST_DURATION_MS = 3650 * 86_400_000;

/** `250ms`, `10s`, `5m`, `2h`, `30d` → milliseconds. */
export function parseDuration(text: string): number {
  const match = /^(\d+)(ms|s|m|h|d)$/.exec(text);
  const unit = match?.[2];
  if (!match || unit === undefined) throw new Error("wanted a duration such as 250ms, 10s, 5m, 2h or 30d");
  const ms = Number(match[1]) * (DURATION_UNITS_MS[unit] ?? 0);
  if (ms > LONGEST_DURATION_MS) throw new Error(`wanted at most ${formatDuration(LONGEST_DURATION_MS)}`);
  return ms;
}

/** Milliseconds → the longest unit that divides them: 30000 → `30s`. */
export function formatDuration(ms: number): string {
  const unit = Object.entries(DURATION_UNITS_MS)
    .reverse()
    .find(([, size]) => ms % size === 0 && ms >= size);
  return unit ? `${ms / unit[1]}${unit[0]}` : `${ms}ms`;
}

const SIZE_UNITS: Readonly<Record<string, number>> = { B: 1, KiB: 1024, MiB: 1024 * 1024 };

/** `64KiB`, `1MiB` → bytes. */
export function parseSize(text: string): number {
  const match = /^(\d{1,9})(B|KiB|MiB)$/.exec(text);
  if (match === null) throw new Error("wanted a size such as 500B, 64KiB or 1MiB");
  return Number(match[1]) * (SIZE_UNITS[match[2] ?? ""] ?? 0);
}

/** Bytes → the largest unit that divides them: 65536 → `64KiB`. */
export function formatSize(bytes: number): string {
  const unit = Object.entries(SIZE_UNITS)
    .reverse()
    .find(([, size]) => bytes % size === 0 && bytes >= size);
  return unit ? `${bytes / unit[1]}${unit[0]}` : `${bytes}B`;
}

/** Values separated by commas; none for an empty text. */
export function parseList<T>(parse: (text: string) => T): (text: string) => readonly T[] {
  return (text) => {
    const parts = text.trim() === "" ? [] : text.split(",").map((part) => part.trim());
    if (parts.includes("")) throw new Error("found nothing between two commas or at an end, wanted values separated by single commas");
    return Object.freeze(parts.map(parse));
  };
}

export const parseDurations = parseList(parseDuration);

const DIGITS = /^\d{1,15}$/;

export function parseInteger(text: string): number {
  if (!DIGITS.test(text)) throw new Error("wanted a whole number");
  return Number(text);
}

/** @param or another form that is wanted, for the error */
export function parseIntegerWithin(minimum: number, maximum: number, or = ""): (text: string) => number {
  const range = maximum === Number.MAX_SAFE_INTEGER ? `${minimum} or more` : `${minimum} to ${maximum}`;
  return (text) => {
    const value = DIGITS.test(text) ? Number(text) : Number.NaN;
    if (value >= minimum && value <= maximum) return value;
    throw new Error(`wanted ${or}a whole number of ${range}`);
  };
}

/** `10.0.0.0/8,::1,*.internal.example` → CIDRs (a bare address is a network of one) and host names in lower case. */
export const parseTargets = parseList((part) => {
  const [address = "", bits, rest] = part.split("/");
  const family = isIP(address);
  const host = family === 0 && bits === undefined ? parseHostPattern(part) : null;
  if (host !== null) return host;
  const widest = family === 4 ? 32 : 128;
  const prefix = bits === undefined ? widest : /^\d{1,3}$/.test(bits) ? Number(bits) : -1;
  if (family === 0 || address.includes("%") || rest !== undefined || prefix < 0 || prefix > widest) {
    throw new Error(
      `wanted networks such as 10.0.0.0/8 or ::1/128 and host names such as hooks.example or *.hooks.example, separated by commas; ${part} is invalid`,
    );
  }
  return `${address}/${prefix}`;
});

/** @returns the host name in ASCII, of at least two labels and optionally after `*.`; null for anything else */
function parseHostPattern(text: string): string | null {
  const [, wildcard = "", written = ""] = /^(\*\.)?(.+?)\.?$/.exec(text) ?? [];
  const url = `http://${written}/`;
  const host = URL.canParse(url) ? new URL(url).hostname : "";
  const isName = /^[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})+$/.test(host) && isIP(host) === 0 && !/[:/?#@\\]/.test(written);
  return isName ? `${wildcard}${host}` : null;
}

/** `192.0.2.53,[2001:db8::53]:5353` */
export const parseNameServers = parseList((part) => {
  const [, bracketed, bare = "", port] = /^(?:\[(.+)\]|([^[\]]+?))(?::(\d{1,5}))?$/.exec(part) ?? [];
  const isServer = isIP(part) !== 0 || isIP(bracketed ?? "") === 6 || isIP(bare) === 4;
  if (!isServer || Number(port ?? 53) < 1 || Number(port ?? 53) > 65535) {
    throw new Error(`wanted name servers such as 192.0.2.53 or [2001:db8::53]:5353, separated by commas; ${part} is invalid`);
  }
  return part;
});

/** @returns the networks that are wider than any private network, or contain a cloud's metadata service */
export function wideNetworks(targets: readonly string[]): readonly string[] {
  return targets.filter((target) => {
    const [network = "", bits] = target.split("/");
    const family = isIP(network);
    if (family === 0) return false;
    if (Number(bits) < (family === 4 ? NARROWEST_WIDE_IPV4 : NARROWEST_WIDE_IPV6)) return true;
    const list = new BlockList();
    list.addSubnet(network, Number(bits), family === 4 ? "ipv4" : "ipv6");
    return METADATA_ADDRESSES.some((address) => isIP(address) === family && list.check(address, family === 4 ? "ipv4" : "ipv6"));
  });
}

/** 10.0.0.0/8 and fc00::/7 are the widest private networks. */
const NARROWEST_WIDE_IPV4 = 8;
const NARROWEST_WIDE_IPV6 = 7;
/** Metadata services: AWS, Azure, Google Cloud and others; Alibaba Cloud; AWS over IPv6. */
const METADATA_ADDRESSES = ["169.254.169.254", "100.100.100.200", "fd00:ec2::254"];

/** Inclusive. */
export type PortRange = readonly [first: number, last: number];

/** `443,8000-8999` */
export const parsePorts = parseList((part): PortRange => {
  const match = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(part);
  const first = Number(match?.[1]);
  const last = Number(match?.[2] ?? match?.[1]);
  if (match === null || first < 1 || last > 65535 || first > last) {
    throw new Error(`wanted ports of 1 to 65535 and ranges such as 8000-8999, separated by commas; ${part} is invalid`);
  }
  return [first, last];
});

export type ApiScope = "admin" | "read";

export interface ApiToken {
  readonly scope: ApiScope;
  /** Null: it has none. */
  readonly name: string | null;
  readonly token: string;
}

/** Shorter tokens could be guessed by trying. */
export const SHORTEST_TOKEN = 16;

const NAMED_TOKEN = /^([A-Za-z0-9_.@+-]{1,64}):(\S+)$/;

/** `admin:<token>` or `admin:<name>:<token>`. */
export const parseApiTokens = parseList((part): ApiToken => {
  const colon = part.indexOf(":");
  const scope = part.slice(0, colon);
  const given = part.slice(colon + 1);
  const [, name = null, token = given] = NAMED_TOKEN.exec(given) ?? [];
  if ((scope !== "admin" && scope !== "read") || token === "" || /\s/.test(token)) {
    throw new Error("wanted admin:<token>, admin:<name>:<token> or the same with read, separated by commas");
  }
  if (token.length < SHORTEST_TOKEN) {
    throw new Error(
      `found a token of ${token.length} characters, wanted at least ${SHORTEST_TOKEN}, for example from: openssl rand -hex 32`,
    );
  }
  if (/^change[-_ ]?me/i.test(token))
    throw new Error("found the token of an example, wanted one of your own, for example from: openssl rand -hex 32");
  return { scope, name, token };
});

export function parseUrl(schemes: readonly string[]): (text: string) => string {
  return (text) => {
    for (const part of text.split(",")) {
      const url = URL.canParse(part.trim()) ? new URL(part.trim()) : null;
      if (!url || !schemes.includes(url.protocol.slice(0, -1)) || url.hostname === "") {
        throw new Error(`wanted a URL such as ${schemes[0]}://host:port`);
      }
    }
    return text;
  };
}

export function parseNatsUrls(text: string): string {
  for (const part of parseUrl(["nats", "tls"])(text).split(",")) {
    const { pathname, search, hash } = new URL(part.trim());
    // A part of a password that was to be escaped may be in it, so it is not shown.
    if (!["", "/"].includes(pathname) || search !== "" || hash !== "")
      throw new Error("found a path, a query or a fragment behind a server, wanted URLs such as nats://host:port");
  }
  return text;
}

/** One server, or nodes of a cluster, which share scheme, user and password and have no numbered databases. */
export function parseRedisUrls(text: string): string {
  const urls = parseUrl(["redis", "rediss"])(text)
    .split(",")
    .map((part) => new URL(part.trim()));
  const [wrong] = urls.flatMap(({ pathname }) => (/^\/?\d{0,9}$/.test(pathname) ? [] : [pathname.slice(1)]));
  if (wrong !== undefined) throw new Error(`found database ${JSON.stringify(wrong)}, wanted a number as in redis://host:port/0`);
  if (urls.length > 1) {
    const ways = new Set(urls.map(({ protocol, username, password }) => `${protocol}//${username}:${password}`));
    if (ways.size > 1) throw new Error("wanted one scheme, user and password for all nodes of a cluster");
    if (urls.some(({ pathname }) => !["", "/", "/0"].includes(pathname)))
      throw new Error("wanted no database number: a cluster has only 0");
  }
  return text;
}

/** `http://user:password@proxy:3128` */
export function parseProxyUrl(text: string): string {
  if (text.includes(",")) throw new Error("wanted one URL such as http://proxy:3128");
  const url = parseUrl(["http"])(text);
  const { pathname, search, hash } = new URL(url);
  if (pathname !== "/" || search !== "" || hash !== "") throw new Error("wanted one URL such as http://proxy:3128, without a path");
  return url;
}

/** @returns the text of a PEM file with certificates */
export function parseCertificateFile(path: string): string {
  const text = readText(path);
  const certificates = text.match(/-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g) ?? [];
  if (certificates.length === 0) throw new Error("wanted a file with certificates in PEM form");
  for (const [at, certificate] of certificates.entries()) {
    try {
      new X509Certificate(certificate);
    } catch (error) {
      throw new Error(`wanted a file with certificates in PEM form; certificate ${at + 1} can't be read (${(error as Error).message})`);
    }
  }
  return text;
}

/** @returns the text of a PEM file with a private key */
export function parseKeyFile(path: string): string {
  const text = readText(path);
  try {
    createPrivateKey(text);
  } catch (error) {
    throw new Error(`wanted a file with a private key in PEM form (${(error as Error).message})`);
  }
  return text;
}

/** @returns the path of a file that can be read */
export function parseReadablePath(path: string): string {
  readText(path);
  return path;
}

function readText(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    throw new Error(`wanted a readable file (${(error as Error).message})`);
  }
}

export function parseMatching(pattern: RegExp, wanted: string): (text: string) => string {
  return (text) => {
    if (!pattern.test(text)) throw new Error(`wanted ${wanted}`);
    return text;
  };
}

export function parseChoice<const T extends string>(choices: readonly T[]): (text: string) => T {
  return (text) => {
    const choice = choices.find((candidate) => candidate === text);
    if (choice === undefined) throw new Error(`wanted one of ${choices.join(", ")}`);
    return choice;
  };
}

/** @returns the compact text of a JSON object */
export function parseJsonObject(text: string): string {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    value = undefined;
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw new Error("wanted a JSON object");
  return compactJson(text.trim());
}

/** 32 bytes as 64 hex digits or base64, optionally `<key id>:` before it. */
export function parseEncryptionKey(text: string): { readonly id: string; readonly key: Buffer } {
  const match = /^(?:([A-Za-z0-9_-]{1,32}):)?([A-Za-z0-9+/=_-]+)$/.exec(text);
  const encoded = match?.[2] ?? "";
  const key = /^[0-9a-f]{64}$/i.test(encoded) ? Buffer.from(encoded, "hex") : Buffer.from(encoded, "base64");
  if (key.length !== 32) throw new Error("wanted 32 bytes as 64 hex digits or as base64, optionally <key id>: before it");
  return { id: match?.[1] ?? "1", key };
}
