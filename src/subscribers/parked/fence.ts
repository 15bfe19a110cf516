/**
 * Keeps what an owner of the queues stored too late from having an effect. An owner that was suspended, or cut off, can't know that its
 * lease is over before it runs again, and what it had published by then is still on its way.
 *
 * FENCE-1  A message that an owner stores carries its token, the revision of its lease. A message with an older token that was stored after the
 *          present owner took over is removed unread: the present owner has its delivery, from the event after the floor or from the
 *          message that it was to replace.
 * FENCE-2  That message is there: an owner removes nothing once its lease is over.
 */
import { FENCE_HEADER } from "../../jetstream/durable-publish.ts";
import type { ParkedDelivery } from "./backlog.ts";

export type Fence = ReturnType<typeof createFence>;

/** @param lastSequence of the parked stream when the owner had taken over */
export function createFence(token: number, lastSequence: number) {
  return {
    /** Grows with each owner. */
    token,
    isLate({ source, message }: Pick<ParkedDelivery, "source" | "message">): boolean {
      const tokenOf = message.header(FENCE_HEADER);
      return tokenOf !== undefined && Number(tokenOf) < token && source.sequence > lastSequence;
    },
  };
}
