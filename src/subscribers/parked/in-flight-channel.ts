/** Asks the owner of the queues, over plain NATS, which parked deliveries are being attempted. */
import type { NatsConnection } from "nats";
import type { Subjects } from "../../jetstream/subjects.ts";

export interface InFlightChannel {
  /** @param inFlight sequences; null when this replica is not the owner */
  answer(inFlight: () => readonly number[] | null): void;
  /** Empty, too, when there is no owner that could attempt anything. */
  ask(): Promise<ReadonlySet<number>>;
}

const TIMEOUT_MS = 1_000;

export function createInFlightChannel(connection: NatsConnection, { inFlight: subject }: Subjects): InFlightChannel {
  return {
    answer(inFlight) {
      connection.subscribe(subject, {
        callback(error, message) {
          const found = error === null ? inFlight() : null;
          if (found !== null) message.respond(JSON.stringify(found));
        },
      });
    },
    async ask() {
      try {
        return new Set((await connection.request(subject, undefined, { timeout: TIMEOUT_MS })).json<number[]>());
      } catch {
        return new Set();
      }
    },
  };
}
