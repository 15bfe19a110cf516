/** Values of the model for tests, each member replaceable. */

import { classify } from "../../src/delivery/classify.ts";
import type { WebhookBody } from "../../src/delivery/envelope.ts";
import type { AttemptRecord } from "../../src/delivery/ports.ts";
import type { App, Installation } from "../../src/model/app.ts";
import { type Delivery, newDelivery } from "../../src/model/delivery.ts";
import { decodeDeliveryMessage, encodeDeliveryMessage } from "../../src/model/delivery-message.ts";
import type { Event } from "../../src/model/event.ts";
import { deliveryId } from "../../src/model/event-key.ts";
import type { Outcome, ReceiverState } from "../../src/model/outcome.ts";
import type { RecordLimits } from "../../src/registry/record-limits.ts";
import type { Lifetimes } from "../../src/storage/dedup-record.ts";

export const UUID = "0f3c1d2e-5b6a-4c7d-8e9f-0a1b2c3d4e5f";
export const SECRET = "0123456789abcdef".repeat(4);

export const LIFETIMES: Lifetimes = { dedupTtlMs: 8 * 86_400_000, notesTtlMs: 8 * 86_400_000 };

export const RECORD_LIMITS: RecordLimits = {
  maxNameLength: 200,
  maxUrlLength: 2_048,
  maxIdLength: 256,
  maxEvents: 100,
  maxHeaders: 50,
  maxHeaderLength: 4_096,
  maxRetries: 50,
  maxProjects: 10_000,
};

export function anEvent(members: Partial<Event> = {}): Event {
  const resource = members.resource ?? "issue";
  const action = members.action ?? "created";
  return {
    id: "evt-1",
    source: null,
    resource,
    action,
    type: `${resource}.${action}`,
    organizationId: "42",
    installationUuid: null,
    app: null,
    projectId: null,
    dataJson: '{"issue":{"id":"1"}}',
    actorJson: null,
    occurredAt: "2026-01-05T10:11:12.345Z",
    publishedAt: Date.parse("2026-01-05T10:11:12.400Z"),
    traceparent: null,
    tracestate: null,
    ...members,
  };
}

/** Of a plain event. */
export function deliveryIdOf(eventId: string, installationUuid: string, type = "issue.created"): string {
  return deliveryId({ id: eventId, type, source: null }, installationUuid);
}

/** The bytes that are sent. */
export function bytesOf({ head, tail }: WebhookBody): Buffer {
  return Buffer.concat([Buffer.from(head, "latin1"), tail]);
}

export function anApp(members: Partial<App> = {}): App {
  return {
    slug: "acme",
    name: "Acme",
    webhookUrl: "https://hooks.acme.example/in",
    status: "published",
    events: ["*"],
    headers: {},
    timeoutMs: null,
    retryScheduleMs: null,
    retryOn: null,
    maxInFlight: null,
    rateLimit: null,
    orderBy: "none",
    onExhausted: "continue",
    clientSecret: SECRET,
    previousSecret: null,
    createdAt: null,
    updatedAt: null,
    ...members,
  };
}

export function anInstallation(members: Partial<Installation> = {}): Installation {
  return {
    ...{ uuid: UUID, app: "acme", organizationId: "42", projectIds: [], status: "active", webhookUrl: null },
    ...{ createdAt: null, updatedAt: null, ...members },
  };
}

export function aDelivery(members: Partial<Delivery> = {}, event: Event = anEvent()): Delivery {
  return { ...newDelivery(event, "acme", UUID, 7), ...members };
}

export function anAttempt(members: Partial<AttemptRecord> = {}): AttemptRecord {
  const delivery = members.delivery ?? aDelivery();
  const { outcome = "delivered", responseCode = outcome === "delivered" ? 200 : 500 } = members;
  const isDelivered = outcome === "delivered";
  return {
    delivery,
    app: anApp(),
    installation: anInstallation(),
    attempt: delivery.attemptsMade + 1,
    startedAt: Date.UTC(2026, 0, 5, 10, 11, 12, 345),
    endedAt: Date.UTC(2026, 0, 5, 10, 11, 12, 400),
    durationMs: 55,
    webhookUrl: "https://hooks.acme.example/in",
    outcome,
    receiver: receiverOf(outcome, responseCode),
    responseCode,
    pauseMs: null,
    error: isDelivered ? null : "answered with status 500",
    errorId: null,
    projectId: null,
    traceId: "0af7651916cd43dd8448eb211c80319c",
    spanId: "b7ad6b7169203331",
    requestHeaders: { "Content-Type": "application/json" },
    requestBody: () => Buffer.from('{"action":"created"}'),
    responseHeaders: { "content-type": "text/plain" },
    responseBody: isDelivered ? Buffer.from("ok") : Buffer.from("no"),
    responseBodySize: 2,
    ...members,
  };
}

function receiverOf(outcome: Outcome, status: number): ReceiverState {
  const isUnanswered = outcome === "timed_out" || outcome === "unreachable" || outcome === "sender_failed" || outcome === "blocked";
  const answered = { kind: "answered", status, headers: {}, body: null, bodySize: 0 } as const;
  return classify(isUnanswered ? { kind: outcome, error: "" } : answered, { retryOn: null }, 0).receiver;
}

/** The event as a stream message gives it back. */
export function storedAndRead(event: Event): Event {
  const text = encodeDeliveryMessage({ delivery: aDelivery({}, event), dueAt: null, delayMs: 0, notBefore: false });
  return decodeDeliveryMessage(text).delivery.event;
}
