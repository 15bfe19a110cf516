import { toRfc3339 } from "./clock.ts";

/** A dead letter that stops the deliveries of its order key. */
export interface KeyStop {
  readonly deliveryId: string;
  /** Its sequence. */
  readonly deadLetter: number;
  /** Milliseconds since the epoch. */
  readonly since: number;
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
