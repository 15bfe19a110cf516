/** A connection of the caller's own, or one that is opened here and closed with what uses it. */
import { connect, type NatsConnection } from "nats";
import { AppError, messageOf } from "../model/app-error.ts";

/** One URL, several, or a connection that stays the caller's. */
export type NatsSource = string | readonly string[] | NatsConnection;

export const DEFAULT_PREFIX = "app-platform";

/** @throws AppError NATS_UNREACHABLE */
export async function openConnection(source: NatsSource): Promise<{ connection: NatsConnection; close: () => Promise<void> }> {
  if (typeof source === "object" && "jetstream" in source) return { connection: source, close: async () => {} };
  const servers = typeof source === "string" ? source.split(",") : [...source];
  try {
    const connection = await connect({ servers, maxReconnectAttempts: -1, name: "posthorn-client" });
    return { connection, close: () => connection.drain().catch(() => connection.close()) };
  } catch (error) {
    throw new AppError("NATS_UNREACHABLE", `no NATS server answered at ${servers.join(", ")} (${messageOf(error)})`, {
      retryable: true,
      cause: error,
    });
  }
}

/** `APP_PLATFORM_EVENTS` of `app-platform`. */
export function streamName(prefix: string, lane: "EVENTS" | "STATUS"): string {
  return `${prefix}_${lane}`.toUpperCase().replaceAll("-", "_");
}
