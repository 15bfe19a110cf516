/**
 * JetStream's part in a model of the streams: messages that stay until they are acknowledged, and publishes that are stored
 * once per message id. What is in it survives a crash of the process under test.
 */

import { firstTier } from "../../src/delivery/delay-tiers.ts";
import type { DeadLetterWriter, DeliveryStreams, MessageRef, ParkedQueue, RetryDelay, StoredMessageRef } from "../../src/delivery/ports.ts";
import type { Clock } from "../../src/model/clock.ts";
import type { DeadLetterReason, Delivery } from "../../src/model/delivery.ts";
import { decodeDeliveryMessage, encodeDeliveryMessage } from "../../src/model/delivery-message.ts";

export interface StoredMessage {
  readonly stream: string;
  readonly sequence: number;
  readonly text: string;
  readonly storedAt: number;
  /** Of the retries stream. */
  readonly tierS: number;
  readonly queue: ParkedQueue | null;
  readonly reason: DeadLetterReason | null;
}

export interface StreamsInMemory extends DeliveryStreams, Pick<DeadLetterWriter, "deadLetter"> {
  readonly messages: Set<StoredMessage>;
  in(stream: string): StoredMessage[];
  delivery(message: StoredMessage): Delivery;
}

export function createStreamsInMemory(clock: Clock): StreamsInMemory {
  const messages = new Set<StoredMessage>();
  const stored = new Map<string, StoredMessageRef>();
  const lastSequences = new Map<string, number>();

  const store = (
    stream: string,
    delivery: Delivery,
    source: MessageRef,
    members: Partial<StoredMessage>,
    delay?: RetryDelay,
  ): StoredMessageRef => {
    const messageId = `${delivery.id}:${source.stream}:${source.sequence}:${delivery.event.publishedAt}`;
    const before = stored.get(`${stream} ${messageId}`);
    if (before !== undefined) return { ...before, isDuplicate: true };
    const sequence = (lastSequences.get(stream) ?? 0) + 1;
    lastSequences.set(stream, sequence);
    const text = encodeDeliveryMessage({
      delivery: { ...delivery, stores: delivery.stores + 1 },
      dueAt: delay?.dueAt ?? null,
      delayMs: delay?.delayMs ?? 0,
      notBefore: delay?.notBefore ?? false,
    });
    messages.add({ stream, sequence, text, storedAt: clock.now(), tierS: 0, queue: null, reason: null, ...members });
    const reference = { subject: stream, sequence, messageId, isDuplicate: false };
    stored.set(`${stream} ${messageId}`, reference);
    return reference;
  };

  return {
    messages,
    in: (stream) => [...messages].filter((message) => message.stream === stream),
    delivery: ({ text }) => decodeDeliveryMessage(text).delivery,
    async retry(delivery, delay, source) {
      return store("RETRIES", delivery, source, { tierS: firstTier(delay, clock.now()) }, delay);
    },
    async park(delivery, queue, _dueAt, source) {
      return store("PARKED", { ...delivery, firstParkedAt: delivery.firstParkedAt ?? clock.now() }, source, { queue });
    },
    async deadLetter(delivery, reason, _error, source) {
      return store("DEAD_LETTERS", delivery, source, { reason });
    },
  };
}
