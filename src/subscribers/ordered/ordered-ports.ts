/** The ports of an ordered app in the hands of the owner of the queues, which its parts share. */
import type { Dispatcher } from "../../delivery/dispatcher.ts";
import type { AttemptLog, DeliveryObserver, ParkedQueue, RegistryView } from "../../delivery/ports.ts";
import type { SkipDelivered } from "../../delivery/skip-delivered.ts";
import type { DeliveryStreamWriter } from "../../jetstream/delivery-streams.ts";
import type { Clock } from "../../model/clock.ts";
import type { Delivery } from "../../model/delivery.ts";
import type { Logger } from "../../model/logger.ts";
import type { AttemptParked } from "../parked/attempt-parked.ts";
import type { Backlog } from "../parked/backlog.ts";
import type { Fence } from "../parked/fence.ts";
import type { PoisonLimit } from "../parked/poison-limit.ts";

export interface OrderedPorts {
  readonly backlog: Pick<Backlog, "read" | "at" | "queuesOf" | "remove">;
  readonly attemptParked: AttemptParked;
  readonly skipDelivered: SkipDelivered;
  readonly dispatcher: Pick<Dispatcher, "apply" | "park">;
  readonly streams: Pick<DeliveryStreamWriter, "park">;
  readonly poisonLimit: Pick<PoisonLimit, "attempt">;
  readonly registry: RegistryView;
  readonly observer: Pick<DeliveryObserver, "stored" | "skipped">;
  readonly log: Pick<AttemptLog, "skipped">;
  readonly clock: Clock;
  readonly monotonicNow: () => number;
  readonly logger: Logger;
  readonly isFlowing: (queue: ParkedQueue) => boolean;
  /** Takes room for a delivery in the parked stream. @returns gives it back; null: its app has none left */
  readonly takeRoom: (delivery: Delivery) => (() => void) | null;
  readonly maxInFlightOf: (app: string) => number;
  /** Whether this replica owns the queues, in the term for which this was made. */
  readonly isOwner: () => boolean;
  readonly fence: Fence;
  /** Whether all events before it have been read. */
  readonly isReadBefore: (eventSequence: number) => Promise<boolean>;
  /** Dead letters that have left the stream so far, and the sequence of the first that may be there. */
  readonly deadLettersState: () => Promise<{ readonly removed: number; readonly first: number }>;
  /** The dead letter of this run of the delivery, if there is one that stops a key. @throws AppError when that can't be read */
  readonly deadLetterOf: (delivery: Delivery) => Promise<number | null>;
  /** Whether a dead letter is still there. */
  readonly isDeadLetter: (sequence: number) => Promise<boolean>;
  /** The name of the stream of parked deliveries. */
  readonly parkedStream: string;
}
