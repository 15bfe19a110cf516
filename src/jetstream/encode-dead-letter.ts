import type { DeadLetterReason, Delivery } from "../model/delivery.ts";
import { encodeDeliveryMessage } from "../model/delivery-message.ts";
import { cutToFit } from "./raw-message.ts";

export interface DeadLetterFacts {
  readonly reason: DeadLetterReason;
  readonly error: string | null;
  /** RFC 3339. */
  readonly dead_lettered_at: string;
}

/**
 * JSON text that fits into a message. Of an event that would not fit, the beginning of its `data` is kept as `body`, marked `body_cut`,
 * and no attempts where they would not fit either; the whole event remains in its own stream for as long as that keeps it.
 */
export function encodeDeadLetter(delivery: Delivery, facts: DeadLetterFacts, maxPayloadBytes: number): string {
  const encode = (of: Delivery, extra: object): string =>
    encodeDeliveryMessage({ delivery: of, dueAt: null, delayMs: 0, notBefore: false }, { ...facts, ...extra });
  const { dataJson } = delivery.event;
  const withoutData = { ...delivery, event: { ...delivery.event, dataJson: "{}", actorJson: null } };
  const encodeCut = (kept: number): string =>
    encode(withoutData, { body_cut: true, body_bytes: Buffer.byteLength(dataJson), body: dataJson.slice(0, kept) });
  const isWhole = (kept: number): boolean => kept === dataJson.length;
  const fitting = cutToFit(dataJson.length, maxPayloadBytes, (kept) => (isWhole(kept) ? encode(delivery, {}) : encodeCut(kept)));
  return fitting ?? encode({ ...withoutData, attempts: [] }, { body_cut: true, body_bytes: Buffer.byteLength(dataJson), body: "" });
}

/** Whether a dead letter has only a part of its event or message, and so can't be sent again. */
export function isCut(content: Readonly<Record<string, unknown>>): boolean {
  return content["body_cut"] === true;
}
