/** Listens to what the replicas that hold a consumer's messages tell the server: acks, naks and heartbeats. */
import type { NatsConnection } from "nats";
import type { Clock } from "../model/clock.ts";
import { ackFilters } from "./api-subjects.ts";
import type { ConnectionState } from "./connection.ts";

export interface AckMonitor {
  /** False once the server has refused the subscription: holders can't be observed. */
  isPermitted(): boolean;
  /** Listens for so long. @returns whether a holder said anything; true, too, when that can't be known */
  isActive(forMs: number): Promise<boolean>;
}

export interface AckMonitorDependencies {
  readonly connection: NatsConnection;
  readonly connectionState: Pick<ConnectionState, "onDisconnect" | "onReconnect">;
  readonly clock: Clock;
}

export function createAckMonitor(
  { connection, connectionState, clock }: AckMonitorDependencies,
  { stream, consumer }: { readonly stream: string; readonly consumer: string },
): AckMonitor {
  let isPermitted = true;

  return {
    isPermitted: () => isPermitted,

    async isActive(forMs) {
      const { promise: ended, resolve: end } = Promise.withResolvers<void>();
      let isActive = false;
      const notice = (): void => {
        isActive = true;
        end();
      };
      // Acks that are sent while the connection is down are missed.
      const removers = [connectionState.onDisconnect(notice), connectionState.onReconnect(notice)];
      const subscriptions = ackFilters(stream, consumer).map((subject) =>
        connection.subscribe(subject, {
          callback(error) {
            if (error !== null) isPermitted = false;
            notice();
          },
        }),
      );
      const cancel = clock.after(forMs, end);
      try {
        await connection.flush();
        await ended;
        // Every ack that the server passed on before it answers this has arrived.
        await connection.flush();
        return isActive;
      } finally {
        cancel();
        for (const remove of removers) remove();
        for (const subscription of subscriptions) subscription.unsubscribe();
      }
    },
  };
}
