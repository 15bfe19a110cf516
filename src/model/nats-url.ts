/** The parts of a NATS URL: the library takes user and password beside it, and no message may show them. */

/** `nats://user:password@host:4222` → `nats://host:4222`. */
export function withoutUser(url: string): string {
  const parsed = new URL(url);
  return `${parsed.protocol}//${parsed.host}`;
}

/** Of the first URL; a user without a password is a token. */
export function userOf(servers: readonly string[]): { user?: string; pass?: string; token?: string } {
  const { username, password } = new URL(servers[0] ?? "nats://127.0.0.1");
  if (username === "") return {};
  if (password === "") return { token: decodeURIComponent(username) };
  return { user: decodeURIComponent(username), pass: decodeURIComponent(password) };
}

/** Of `host:port`, as the library names the server that it is connected to; null where there is none. */
export function serverOf(hostAndPort: string): { readonly host: string; readonly port: number } | null {
  const [, host, port] = /^\[?(.+?)\]?:(\d+)$/.exec(hostAndPort) ?? [];
  return host === undefined ? null : { host, port: Number(port) };
}

/** By itself the library takes what the server offers: a tls: URL alone would not insist on it. */
export function isTlsWanted(urls: readonly string[], tls: object = {}): boolean {
  return Object.keys(tls).length > 0 || urls.some((url) => /^(tls|wss):/i.test(url));
}
