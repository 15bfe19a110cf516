/** Reads a delivery's message in the form of each stream that can hold it. */
import { decodeRawMessage } from "../jetstream/raw-message.ts";
import type { Subjects } from "../jetstream/subjects.ts";
import type { DeadLetterReason } from "../model/delivery.ts";
import type { LocatedDelivery, StreamLocation } from "../model/delivery-location.ts";
import { decodeDeliveryMessage } from "../model/delivery-message.ts";

export interface StoredText {
  readonly subject: string;
  readonly sequence: number;
  /** Milliseconds since the epoch. */
  readonly storedAt: number;
  readonly text: string;
}

/** Null for a message that can't be decoded, or is no place of its delivery. */
export type ReadLocated = (stream: StreamLocation["stream"], message: StoredText) => LocatedDelivery | null;

export function createReadLocated({ parseRetry, parseParked }: Subjects): ReadLocated {
  return (stream, message) => {
    try {
      if (stream === "dead-letters") return deadLetterIn(message);
      const { subject, sequence, storedAt, text } = message;
      const { delivery, dueAt, blockedBy } = decodeDeliveryMessage(text);
      // Its dead letter is where it is.
      if (blockedBy !== undefined) return null;
      const found = { sequence, storedAt, delivery };
      if (stream === "retries") return { ...found, stream, dueAt: dueAt ?? storedAt, tierS: parseRetry(subject)?.tierS ?? 0 };
      return { ...found, stream, dueAt, queue: subject, ofInstallation: parseParked(subject)?.installationUuid != null };
    } catch {
      return null;
    }
  };
}

/** Holds a delivery, or the whole message of a delivery that was redelivered too often. */
function deadLetterIn({ sequence, storedAt, text }: StoredText): LocatedDelivery {
  const content = JSON.parse(text) as Record<string, unknown> & { reason: DeadLetterReason; error: string | null };
  const raw = decodeRawMessage(content);
  const { delivery } = decodeDeliveryMessage(raw === null ? text : Buffer.from(raw.data).toString("utf8"));
  return { stream: "dead-letters", sequence, storedAt, delivery, reason: content.reason, error: content.error };
}
