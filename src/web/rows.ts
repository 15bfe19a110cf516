/** What names a row of the request log or of the dead letters. */
import type { DeadLetter, WebhookRequest } from "../client/api-types.generated.ts";

/** An attempt of a run: a resend has the same delivery and begins with attempt 1 again, at another time. */
export function attemptId({ delivery_id, attempt, date }: WebhookRequest): string {
  return `${delivery_id}.${attempt}.${Date.parse(date)}`;
}

/** The event's type, or the subject of a message that no event could be read from. */
export function letterType({ event, subject }: DeadLetter): string {
  return event === undefined ? (subject ?? "unreadable message") : `${event.resource}.${event.action}`;
}

export function mayReplay({ body_cut }: DeadLetter): boolean {
  return body_cut !== true;
}
