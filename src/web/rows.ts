/** Keys and names of rows in the request log and the dead letters. */
import type { DeadLetter, WebhookRequest } from "../client/api-types.generated.ts";

/** The time is part of the key, because a resend has the same delivery and starts with attempt 1 again. */
export function attemptId({ delivery_id, attempt, date }: WebhookRequest): string {
  return `${delivery_id}.${attempt}.${Date.parse(date)}`;
}

/** The event's type, or the subject of a message whose event could not be read. */
export function deadLetterType({ event, subject }: DeadLetter): string {
  return event === undefined ? (subject ?? "unreadable message") : `${event.resource}.${event.action}`;
}

export function mayReplay({ body_cut }: DeadLetter): boolean {
  return body_cut !== true;
}
