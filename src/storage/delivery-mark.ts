/**
 * The values under `posthorn:delivery:{<app>}:<mark>` and `posthorn:place:<delivery id>`: enough to skip what was delivered, and to
 * find a delivery and its event again by id.
 */
import type { Delivery } from "../model/delivery.ts";
import type { LanePlace } from "../model/whereabouts.ts";

/** Which event and installation a value is about. */
interface Subject {
  /** The event's place in the EVENTS stream; null when it was never there. */
  readonly eventSequence: number | null;
  readonly app: string;
  readonly installationUuid: string;
}

export interface DeliveryMark extends Subject {
  readonly delivered: boolean;
}

export interface PlaceNote extends Subject {
  readonly place: LanePlace;
}

/** Longer than the events stream keeps an event, so that a redelivered one always finds its mark. */
export const MARK_TTL_S = 8 * 86_400;

export const DELIVERED = "delivered";

export function encodeMark(delivery: Delivery, delivered: boolean): string {
  return `${delivered ? DELIVERED : "pending"} ${encodeSubject(delivery)}`;
}

export function decodeMark(value: string): DeliveryMark {
  const [state, ...subject] = value.split(" ");
  return { delivered: state === DELIVERED, ...decodeSubject(subject) };
}

export function encodePlace(delivery: Delivery, { lane, sequence }: LanePlace): string {
  return `${lane} ${sequence} ${encodeSubject(delivery)}`;
}

export function decodePlace(value: string): PlaceNote {
  const [lane, sequence, ...subject] = value.split(" ");
  return { place: { lane: lane as LanePlace["lane"], sequence: Number(sequence) }, ...decodeSubject(subject) };
}

function encodeSubject({ eventSequence, app, installationUuid }: Delivery): string {
  return `${eventSequence ?? "-"} ${app} ${installationUuid}`;
}

function decodeSubject([sequence = "-", app = "", installationUuid = ""]: readonly string[]): Subject {
  return { eventSequence: sequence === "-" ? null : Number(sequence), app, installationUuid };
}
