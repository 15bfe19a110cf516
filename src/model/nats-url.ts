/** The parts of a NATS URL. The library takes user and password separately, and messages must not show them. */

/** Codes of a server that refuses the user, password, token or credentials. */
export const NATS_NOT_ACCEPTED: ReadonlySet<string> = new Set([
  "AUTHORIZATION_VIOLATION",
  "BAD_AUTHENTICATION",
  "AUTHENTICATION_EXPIRED",
  "ACCOUNT_EXPIRED",
]);

/** `nats://user:password@host:4222` → `nats://host:4222`. */
export function withoutUser(url: string): string {
  const parsed = new URL(url);
  return `${parsed.protocol}//${parsed.host}`;
}

/** The credentials in the first URL; a user without a password is a token. */
export function userOf(servers: readonly string[]): { user?: string; pass?: string; token?: string } {
  const { username, password } = new URL(servers[0] ?? "nats://127.0.0.1");
  if (username === "") return {};
  if (password === "") return { token: decodeURIComponent(username) };
  return { user: decodeURIComponent(username), pass: decodeURIComponent(password) };
}

/** Parses `host:port`, the library's name of the connected server; null: not connected. */
export function serverOf(hostAndPort: string): { readonly host: string; readonly port: number } | null {
  const [, host, port] = /^\[?(.+?)\]?:(\d+)$/.exec(hostAndPort) ?? [];
  return host === undefined ? null : { host, port: Number(port) };
}

/** Whether TLS is required. The library alone would not require it for a tls: URL. */
export function isTlsWanted(urls: readonly string[], tls: object = {}): boolean {
  return Object.keys(tls).length > 0 || urls.some((url) => /^(tls|wss):/i.test(url));
}
