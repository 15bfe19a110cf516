/**
 * Which deliveries a replay sends: those of scanned events that are not delivered, or all of them, and dead letters.
 *
 * REPLAY-4  A delivery that waits in the retries or parked stream is delivered without the replay: it is found, but skipped.
 * REPLAY-5  Dedup records are kept for POSTHORN_DEDUP_TTL. An older event counts as delivered if the installation existed then.
 */
import { isCut } from "../jetstream/encode-dead-letter.ts";
import { decodeRawMessage } from "../jetstream/raw-message.ts";
import type { App, Installation } from "../model/app.ts";
import { type Delivery, newDelivery } from "../model/delivery.ts";
import type { LocatedDelivery, StreamLocation } from "../model/delivery-location.ts";
import { decodeDeliveryMessage } from "../model/delivery-message.ts";
import type { Event } from "../model/event.ts";
import type { KnownDelivery, ReplayLookup } from "../storage/replay-lookup.ts";
import { type DeliveryKind, KINDS_OF } from "./progress.ts";
import type { ReplayRecord } from "./replay-record.ts";
import { coversType, isInTime, type ScannedEvent } from "./scan-events.ts";

/** A delivery that the replay is for. */
export interface FoundDelivery {
  readonly kind: DeliveryKind;
  /** Null: it is skipped. */
  readonly delivery: Delivery | null;
  /** The replay has sent it before. */
  readonly isSent: boolean;
  /** Its dead letter's sequence, to remove when it is sent; null: it has none. */
  readonly deadLetter: number | null;
}

export interface FoundMessage {
  readonly sequence: number;
  readonly deliveries: readonly FoundDelivery[];
}

/** A dead letter, as the dead-letters room reads it. */
export interface ScannedDeadLetter {
  readonly sequence: number;
  readonly json: string;
  readonly content: Readonly<Record<string, unknown>>;
}

/** Every call rejects with AppError REDIS_UNREACHABLE or NATS_UNREACHABLE when a server does not answer. */
export interface FindDeliveries {
  inEvents(replay: ReplayRecord, events: readonly ScannedEvent[]): Promise<FoundMessage[]>;
  inDeadLetters(replay: ReplayRecord, deadLetters: readonly ScannedDeadLetter[]): Promise<FoundMessage[]>;
}

export interface FindDeliveriesDependencies {
  readonly lookup: Pick<ReplayLookup, "find">;
  /** Null: the message is no longer there. */
  readonly at: (deliveryId: string, location: StreamLocation) => Promise<LocatedDelivery | null>;
  readonly app: (slug: string) => App | undefined;
  /** The installations that want the event now. */
  readonly match: (event: Event) => readonly Installation[];
  readonly now: () => number;
  /** How long it is known what was delivered. */
  readonly dedupTtlMs: number;
}

/** The delivery's run in the replay. One without an event in the stream would pass for a test call if it did not count. */
export function inReplay(delivery: Delivery, replayId: string): Delivery {
  const counted = delivery.eventSequence === null;
  return { ...delivery, attemptsMade: 0, attempts: [], replay: replayId, counted, firstParkedAt: null, stores: 0 };
}

export function createFindDeliveries({ lookup, at, app: appOf, match, now, dedupTtlMs }: FindDeliveriesDependencies): FindDeliveries {
  const skipped = (kind: DeliveryKind): FoundDelivery => ({ kind, delivery: null, isSent: false, deadLetter: null });

  const ofEvent = async (delivery: Delivery, known: KnownDelivery, installation: Installation): Promise<FoundDelivery> => {
    const isTooOld = delivery.event.publishedAt < now() - dedupTtlMs;
    const isUnknown = isTooOld && (installation.createdAt ?? 0) <= delivery.event.publishedAt;
    if (known.isSent) return { kind: "missed", delivery, isSent: true, deadLetter: null };
    if (known.isDelivered || (isUnknown && known.location === null))
      return { kind: "delivered", delivery, isSent: false, deadLetter: null };
    const located = known.location && (await at(delivery.id, known.location));
    if (located === null) return { kind: "missed", delivery, isSent: false, deadLetter: null };
    if (located.stream !== "dead-letters") return skipped("missed");
    return { kind: "failed", delivery, isSent: false, deadLetter: located.sequence };
  };

  /** @returns the dead letter's delivery, or null when it can't be sent */
  const deliveryIn = ({ json, content }: ScannedDeadLetter): Delivery | null => {
    const raw = decodeRawMessage(content);
    if (isCut(content)) return null;
    try {
      return decodeDeliveryMessage(raw === null ? json : Buffer.from(raw.data).toString("utf8")).delivery;
    } catch {
      return null;
    }
  };

  const isWanted = (delivery: Delivery): boolean => {
    const createdAt = appOf(delivery.app)?.createdAt ?? null;
    const isOfEarlierApp = delivery.appCreatedAt !== null && createdAt !== null && delivery.appCreatedAt !== createdAt;
    return !isOfEarlierApp && match(delivery.event).some(({ uuid }) => uuid === delivery.installationUuid);
  };

  return {
    async inEvents(replay, events) {
      const kinds = KINDS_OF[replay.what];
      const appCreatedAt = appOf(replay.app)?.createdAt ?? null;
      const candidates = events.flatMap(({ sequence, event, installations }) =>
        installations.map((installation) => ({
          sequence,
          installation,
          delivery: inReplay(newDelivery(event, replay.app, installation.uuid, sequence, appCreatedAt), replay.id),
        })),
      );
      const found = await lookup.find(candidates.map(({ delivery }) => delivery));
      const deliveries = await Promise.all(
        candidates.map(async ({ sequence, installation, delivery }, index) => {
          const known = found[index];
          // Another message of the same event.
          if (known === undefined || known.isSentForAnother) return [];
          const one = await ofEvent(delivery, known, installation);
          return kinds.includes(one.kind) ? [{ sequence, one }] : [];
        }),
      );
      const bySequence = Map.groupBy(deliveries.flat(), ({ sequence }) => sequence);
      return [...bySequence].map(([sequence, all]) => ({ sequence, deliveries: all.map(({ one }) => one) }));
    },

    async inDeadLetters(replay, deadLetters) {
      const candidates = deadLetters.flatMap((deadLetter) => {
        const delivery = deliveryIn(deadLetter);
        if (delivery !== null && !isCovered(replay, delivery)) return [];
        return [{ sequence: deadLetter.sequence, delivery: delivery && inReplay(delivery, replay.id) }];
      });
      const wanted = candidates.flatMap(({ delivery }) => (delivery !== null && isWanted(delivery) ? [delivery] : []));
      const read = await lookup.find(wanted);
      const knownOf = new Map(wanted.map((delivery, index) => [delivery, read[index]]));
      return candidates.map(({ sequence, delivery }) => {
        const known = delivery === null ? undefined : knownOf.get(delivery);
        if (delivery === null || known === undefined || known.isSentForAnother) return { sequence, deliveries: [skipped("failed")] };
        return { sequence, deliveries: [{ kind: "failed", delivery, isSent: known.isSent, deadLetter: sequence }] };
      });
    },
  };
}

/** Whether the replay sends the dead letter as such: its event is of the range, and was not read from the events stream. */
function isCovered(replay: ReplayRecord, { event, eventSequence }: Delivery): boolean {
  const isRead = replay.events !== null && eventSequence !== null && eventSequence >= replay.events.first;
  return !isRead && isInTime(replay, event.publishedAt) && coversType(replay, event);
}
