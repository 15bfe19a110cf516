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

export interface LanesInMemory extends DeliveryStreams, Pick<DeadLetterWriter, "deadLetter"> {
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
    source: MessageRef,
    members: Partial<StoredMessage>,
    delay?: RetryDelay,
  ): StoredMessageRef => {
    const id = `${stream} ${delivery.id}:${source.stream}:${source.sequence}`;
    if (ids.has(id)) return { subject: stream, sequence, messageId: id, isDuplicate: true };
    ids.add(id);
    const text = encodeDeliveryMessage({
      delivery,
      dueAt: delay?.dueAt ?? null,
      delayMs: delay?.delayMs ?? 0,
      notBefore: delay?.notBefore ?? false,
    });
    messages.add({ stream, sequence: ++sequence, text, storedAt: clock.now(), tierS: 0, queue: null, reason: null, ...members });
    return { subject: stream, sequence, messageId: id, isDuplicate: false };
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
