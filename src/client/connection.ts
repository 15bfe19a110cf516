/** Uses the caller's connection, or opens one and closes it with its user. */
import { readFileSync } from "node:fs";
import { connect, credsAuthenticator, ErrorCode, type NatsConnection, NatsError } from "nats";
import { AppError, messageOf } from "../model/app-error.ts";
import { isTlsWanted, NATS_NOT_ACCEPTED, userOf, withoutUser } from "../model/nats-url.ts";

export interface NatsServers {
  /** URLs, separated by commas. */
  readonly servers: string;
  /** A credentials file (JWT and seed). */
  readonly credsFile?: string | null;
  /** PEM texts. TLS is required when one is set. */
  readonly tls?: { readonly ca?: string; readonly cert?: string; readonly key?: string };
  /** Prefix of reply subjects, if permissions allow only that: `_INBOX.publisher`. */
  readonly inboxPrefix?: string;
}

/** One URL, several, URLs with credentials, or a connection that the caller keeps and closes. */
export type NatsSource = string | readonly string[] | NatsServers | NatsConnection;

export const DEFAULT_PREFIX = "app-platform";

/** @throws AppError NATS_UNREACHABLE, or CONFIG_INVALID when the server refuses the credentials */
export async function openConnection(source: NatsSource): Promise<{ connection: NatsConnection; close: () => Promise<void> }> {
  if (typeof source === "object" && "jetstream" in source) return { connection: source, close: async () => {} };
  const { urls, credsFile = null, tls = {}, inboxPrefix } = serversOf(source);
  const servers = urls.map(withoutUser);
  try {
    const credentials = credsFile === null ? userOf(urls) : { authenticator: credsAuthenticator(readFileSync(credsFile)) };
    const connection = await connect({
      servers,
      ...credentials,
      ...(isTlsWanted(urls, tls) ? { tls } : {}),
      ...(inboxPrefix === undefined ? {} : { inboxPrefix }),
      maxReconnectAttempts: -1,
      name: "posthorn-client",
    });
    return { connection, close: () => connection.drain().catch(() => connection.close()) };
  } catch (error) {
    if (error instanceof NatsError && (error.code === ErrorCode.BadCreds || NATS_NOT_ACCEPTED.has(error.code)))
      throw new AppError("CONFIG_INVALID", `${servers.join(", ")} refused the user, password, token or credentials (${error.code})`, {
        cause: error,
      });
    throw new AppError("NATS_UNREACHABLE", `no NATS server answered at ${servers.join(", ")} (${messageOf(error)})`, {
      retryable: true,
      cause: error,
    });
  }
}

function serversOf(source: Exclude<NatsSource, NatsConnection>): NatsServers & { urls: string[] } {
  const given: NatsServers = typeof source === "object" && "servers" in source ? source : { servers: [source].flat().join(",") };
  return { ...given, urls: given.servers.split(",").map((url) => (url.includes("://") ? url : `nats://${url}`).trim()) };
}
