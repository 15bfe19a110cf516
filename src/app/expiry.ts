/** Sends parked deliveries that are older than POSTHORN_MAX_PARKED_AGE to dead letters while their installation is disabled or broken. */
import { messageOf } from "../model/app-error.ts";
import { every } from "../model/periodic.ts";
import type { Foundation } from "./foundation.ts";
import type { SubscriberParts } from "./wire-subscribers.ts";

const LONGEST_PERIOD_MS = 60_000;
const SHORTEST_PERIOD_MS = 1_000;

export function createExpiry({
  config,
  queueOwner,
  parkedQueues,
  isFlowing,
  backlog,
  stopKeys,
  clock,
  logger,
}: Foundation & SubscriberParts) {
  const expireParked = async (): Promise<void> => {
    if (!queueOwner.isOwner()) return;
    const report = (app: string, installation_uuid: string | null, expired: number): void => {
      if (expired > 0) logger.warn({ app, installation_uuid, expired }, "parked deliveries have expired");
    };
    for (const [app, ordered] of queueOwner.term()?.apps.all() ?? []) report(app, null, await ordered.expire(config.maxParkedAge));
    for (const queue of [...parkedQueues.busyQueues()].filter((one) => !isFlowing(one))) {
      const expired = await backlog.expire(queue, config.maxParkedAge, stopKeys, parkedQueues.stateOf(queue));
      report(queue.app, queue.installationUuid, expired);
    }
  };
  const periodMs = Math.min(LONGEST_PERIOD_MS, Math.max(SHORTEST_PERIOD_MS, config.maxParkedAge / 10));
  return every(clock, periodMs, expireParked, (error) =>
    logger.warn({ error: messageOf(error) }, "expired deliveries can't be swept; trying again"),
  );
}
