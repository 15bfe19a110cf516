/**
 * The values under `delivery:{<app>}:<mark>`, `place:<delivery id>` and in `addressees:<event id>`: enough to
 * skip what was delivered, to find a delivery and its event again by id, and to tell what came of it when its row is gone.
 */
import type { AttemptRecord } from "../delivery/ports.ts";
import type { Delivery } from "../model/delivery.ts";
import type { LanePlace, LastAttempt, NotedDelivery } from "../model/whereabouts.ts";

export interface DeliveryMark extends NotedDelivery {
  readonly delivered: boolean;
  readonly last: LastAttempt | null;
}

export interface PlaceNote extends NotedDelivery {
  readonly place: LanePlace;
  /** Of the resend or replay that was stored; null: it was the first run. */
  readonly replay: string | null;
}

/** Longer than the events stream keeps an event, so that a redelivered one always finds its mark. */
export const MARK_TTL_S = 8 * 86_400;

export const DELIVERED = "delivered";

export function encodeMark({ delivery, outcome, attempt, endedAt, responseCode, requestHeaders }: AttemptRecord): string {
  const state = outcome === DELIVERED ? DELIVERED : "pending";
  return `${state} ${encodeNoted(delivery)} ${attempt} ${endedAt} ${responseCode} ${requestHeaders["traceparent"] ?? ""}`;
}

export function decodeMark(value: string): DeliveryMark {
  const [state, sequence, app, uuid, attempt, endedAt, responseCode, traceparent = ""] = value.split(" ");
  return {
    delivered: state === DELIVERED,
    ...decodeNoted(sequence, app, uuid),
    // A mark of an earlier version ends here.
    last:
      attempt === undefined
        ? null
        : { attempt: Number(attempt), endedAt: Number(endedAt), responseCode: Number(responseCode), traceparent },
  };
}

export function encodePlace(delivery: Delivery, { lane, sequence }: LanePlace): string {
  return `${lane} ${sequence} ${encodeNoted(delivery)} ${delivery.replay ?? "-"}`;
}

export function decodePlace(value: string): PlaceNote {
  const [lane, sequence, eventSequence, app, uuid, replay = "-"] = value.split(" ");
  return {
    place: { lane: lane as LanePlace["lane"], sequence: Number(sequence) },
    replay: replay === "-" ? null : replay,
    ...decodeNoted(eventSequence, app, uuid),
  };
}

/** Beside the installation's uuid, which is the field's name. */
export function encodeAddressee({ eventSequence, app }: Delivery): string {
  return `${eventSequence ?? "-"} ${app}`;
}

export function decodeAddressee(uuid: string, value: string): NotedDelivery {
  const [sequence, app] = value.split(" ");
  return decodeNoted(sequence, app, uuid);
}

function encodeNoted({ eventSequence, app, installationUuid }: Delivery): string {
  return `${eventSequence ?? "-"} ${app} ${installationUuid}`;
}

function decodeNoted(sequence = "-", app = "", installationUuid = ""): NotedDelivery {
  return { eventSequence: sequence === "-" ? null : Number(sequence), app, installationUuid };
}
