/** The dead letter that stops a delivery's order key, in words. */
import { toRfc3339 } from "../model/clock.ts";
import type { KeyStop } from "../model/key-stop.ts";

export const HOW_TO_CONTINUE = "replay, resend or delete the dead letter, or set the app's on_exhausted to continue";

export function stoppedBy({ deliveryId, deadLetter, since }: KeyStop): string {
  const stopped = `dead letter ${deadLetter} (delivery ${deliveryId}) has stopped its order key since ${toRfc3339(since)}`;
  return `${stopped}; ${HOW_TO_CONTINUE}`;
}
