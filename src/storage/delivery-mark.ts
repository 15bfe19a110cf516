/** The value under `posthorn:delivery:<mark>`: enough to skip what was delivered, and to find the event again by id. */
import type { Delivery } from "../model/delivery.ts";

export interface DeliveryMark {
  readonly delivered: boolean;
  /** The event's place in the EVENTS stream; null when it was never there. */
  readonly eventSequence: number | null;
  readonly app: string;
  readonly installationUuid: string;
}

/** Longer than the events stream keeps an event, so that a redelivered one always finds its mark. */
export const MARK_TTL_S = 8 * 86_400;

export const DELIVERED = "delivered";

export function encodeMark({ eventSequence, app, installationUuid }: Delivery, delivered: boolean): string {
  return `${delivered ? DELIVERED : "pending"} ${eventSequence ?? "-"} ${app} ${installationUuid}`;
}

export function decodeMark(value: string): DeliveryMark {
  const [state, sequence = "-", app = "", installationUuid = ""] = value.split(" ");
  return { delivered: state === DELIVERED, eventSequence: sequence === "-" ? null : Number(sequence), app, installationUuid };
}
