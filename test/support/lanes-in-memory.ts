/**
 * JetStream's part in a model of the lanes: messages that stay until they are acknowledged, and publishes that are stored
 * once per message id. What is in it survives a crash of the process under test.
 */
import type { LaneReceipt, LaneSource, Lanes, ParkedQueue, RetryDelay } from "../../src/delivery/ports.ts";
import { firstRung } from "../../src/delivery/rungs.ts";
import type { Clock } from "../../src/model/clock.ts";
import type { DeadLetterReason, Delivery } from "../../src/model/delivery.ts";
import { decodeLaneMessage, encodeLaneMessage } from "../../src/model/lane-message.ts";

export interface StoredMessage {
  readonly stream: string;
  readonly sequence: number;
  readonly text: string;
  readonly storedAt: number;
  /** Of the retries lane. */
  readonly rungS: number;
  readonly queue: ParkedQueue | null;
  readonly reason: DeadLetterReason | null;
}

export interface LanesInMemory extends Lanes {
  readonly messages: Set<StoredMessage>;
  in(stream: string): StoredMessage[];
  delivery(message: StoredMessage): Delivery;
}

export function createLanesInMemory(clock: Clock): LanesInMemory {
  const messages = new Set<StoredMessage>();
  const ids = new Set<string>();
  let sequence = 0;

  const store = (
    stream: string,
    delivery: Delivery,
    source: LaneSource,
    members: Partial<StoredMessage>,
    delay?: RetryDelay,
  ): LaneReceipt => {
    const id = `${stream} ${delivery.id}:${source.stream}:${source.sequence}`;
    if (ids.has(id)) return { subject: stream, sequence, messageId: id };
    ids.add(id);
    const stored = { ...delivery, stores: delivery.stores + 1 };
    const text = encodeLaneMessage({
      delivery: stored,
      dueAt: delay?.dueAt ?? null,
      delayMs: delay?.delayMs ?? 0,
      floor: delay?.floor ?? false,
    });
    messages.add({ stream, sequence: ++sequence, text, storedAt: clock.now(), rungS: 0, queue: null, reason: null, ...members });
    return { subject: stream, sequence, messageId: id };
  };

  return {
    messages,
    in: (stream) => [...messages].filter((message) => message.stream === stream),
    delivery: ({ text }) => decodeLaneMessage(text).delivery,
    async retry(delivery, delay, source) {
      return store("RETRIES", delivery, source, { rungS: firstRung(delay, clock.now()) }, delay);
    },
    async park(delivery, queue, _dueAt, source) {
      return store("PARKED", { ...delivery, firstParkedAt: delivery.firstParkedAt ?? clock.now() }, source, { queue });
    },
    async deadLetter(delivery, reason, _error, source) {
      return store("DEAD_LETTERS", delivery, source, { reason });
    },
  };
}
