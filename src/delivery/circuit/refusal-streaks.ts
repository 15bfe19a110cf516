/**
 * Recognizes a receiver that refuses everything although it gets little: for as long as the window, or longer, each of its answers has
 * refused the endpoint, and several deliveries have met it. One delivery alone, which may be what is refused, proves nothing.
 */
import type { Clock } from "../../model/clock.ts";
import type { ReceiverState } from "../../model/outcome.ts";
import type { CircuitReason } from "./ports.ts";

export interface RefusalStreaks {
  /** @returns why the circuit opens; null: it does not for that reason */
  note(app: string, deliveryId: string, receiver: ReceiverState): CircuitReason | null;
  /** Whether the circuit opens for that reason. */
  isRefusingAll(app: string): boolean;
  forget(app: string): void;
}

interface Streak {
  readonly since: number;
  attempts: number;
  /** No more than are asked for. */
  readonly deliveries: Set<string>;
}

/** An eighth of the attempts that the circuit takes within a window, which is three by default. */
const SHARE = 8;

export function createRefusalStreaks(clock: Clock, options: { readonly windowMs: number; readonly minAttempts: number }): RefusalStreaks {
  const { windowMs } = options;
  const minDeliveries = Math.ceil(options.minAttempts / SHARE);
  const streaks = new Map<string, Streak>();

  const reasonOf = ({ since, attempts, deliveries }: Streak): CircuitReason | null => {
    const lastedMs = clock.now() - since;
    if (deliveries.size < minDeliveries || lastedMs < windowMs) return null;
    return { windowMs: lastedMs, attempts, failures: attempts };
  };

  return {
    note(app, deliveryId, receiver) {
      if (receiver !== "refusing") {
        // A receiver that is down at times may refuse all the same when it is not.
        if (receiver === "up" || receiver === "busy") streaks.delete(app);
        return null;
      }
      const streak = streaks.get(app) ?? { since: clock.now(), attempts: 0, deliveries: new Set() };
      streaks.set(app, streak);
      streak.attempts++;
      if (streak.deliveries.size < minDeliveries) streak.deliveries.add(deliveryId);
      return reasonOf(streak);
    },
    isRefusingAll(app) {
      const streak = streaks.get(app);
      return streak !== undefined && reasonOf(streak) !== null;
    },
    forget: (app) => void streaks.delete(app),
  };
}
