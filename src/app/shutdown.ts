/** The steps of a stop that finish work: deliveries in hand, then the request log. */
import { sleep } from "../model/periodic.ts";
import type { Foundation } from "./foundation.ts";
import type { DeliveryParts } from "./wire-delivery.ts";
import type { StatusParts } from "./wire-status.ts";
import type { SubscriberParts } from "./wire-subscribers.ts";

const POLL_MS = 20;
/** The request log gets at least this time, even after the deadline. */
const SHORTEST_LOG_FLUSH_MS = 1_000;

export function createShutdown(given: Foundation & StatusParts & DeliveryParts & SubscriberParts) {
  const { state, held, bulkhead, deliveryStreams, queueOwner, requestLog, clock, logger } = given;

  const unfinished = (): number => {
    const { events, retries, parked } = held();
    const { pending, waiting } = deliveryStreams.counts();
    return events + retries + parked + bulkhead.inFlight() + pending + waiting;
  };

  return {
    async finishDeliveries(deadline: number): Promise<void> {
      while (unfinished() > 0 && clock.now() < deadline) await sleep(clock, POLL_MS);
      const left = unfinished();
      if (left > 0) {
        state.isFinished = false;
        logger.warn({ unfinished: left }, "POSTHORN_DRAIN_TIMEOUT is over; unfinished messages are handled again by the next process");
      }
      await queueOwner.release();
      deliveryStreams.stop();
    },

    async writeLog(deadline: number): Promise<void> {
      const unwritten = await requestLog.flush(Math.max(SHORTEST_LOG_FLUSH_MS, deadline - clock.now()));
      if (unwritten === 0) return;
      state.isFinished = false;
      logger.error({ unwritten }, "attempts could not be written to the request log");
    },
  };
}
