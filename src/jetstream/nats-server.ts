/** The NATS server that this replica is connected to. */
import type { NatsConnection } from "nats";
import type { Clock } from "../model/clock.ts";
import type { ConnectedServer } from "../model/connected-server.ts";
import type { ConnectionState } from "./connection.ts";

/** Call when connected. */
export function createNatsServer(
  connection: NatsConnection,
  state: Pick<ConnectionState, "onReconnect" | "onDisconnect">,
  clock: Clock,
): () => ConnectedServer {
  let connectedSince: number | null = clock.now();
  state.onReconnect(() => {
    connectedSince = clock.now();
  });
  state.onDisconnect(() => {
    connectedSince = null;
  });
  return () => ({
    kind: "nats",
    address: connection.getServer(),
    version: connection.info?.version ?? null,
    ...{ connectedSince, usedMemoryBytes: null, maxMemoryBytes: null },
  });
}
