import { toRfc3339 } from "./clock.ts";
import type { DeadLetterReason } from "./delivery.ts";

/** A dead letter that stops the deliveries of its order key. */
export interface KeyStop {
  readonly deliveryId: string;
  /** Its sequence. */
  readonly deadLetter: number;
  /** Milliseconds since the epoch. */
  readonly since: number;
}

/** Takes the place of an installation in the queue of the messages that stop an app's keys, which are no deliveries that wait. */
export const STOPS = "_stops";

/** Reasons that stop no key: nobody wants the delivery any more, or there was no room for it. */
const PASSED_BY: ReadonlySet<DeadLetterReason> = new Set(["uninstalled", "discarded", "overflow"]);

export function stopsKey(reason: DeadLetterReason): boolean {
  return !PASSED_BY.has(reason);
}

/** The stops of an app. */
export interface AppStops {
  /** How many keys have stopped. */
  readonly keys: number;
  readonly oldest: KeyStop;
}

/** As answers show it. */
export interface KeyStopView {
  readonly delivery_id: string;
  readonly dead_letter: number;
  /** RFC 3339. */
  readonly since: string;
}

export function keyStopView({ deliveryId, deadLetter, since }: KeyStop): KeyStopView {
  return { delivery_id: deliveryId, dead_letter: deadLetter, since: toRfc3339(since) };
}
