/** Answers about webhook requests and test calls. */
import { z } from "zod";
import { boundedPageOf, DELIVERY_ID, outcome, responseCode, TRACE_ID, time, UUID } from "./common.ts";

export const webhookRequest = z
  .strictObject({
    date: time,
    event_type: z.string(),
    event_id: z.string(),
    delivery_id: z.string(),
    installation_uuid: z.string(),
    organization_id: z.string().optional().meta({ description: "Absent for internal apps." }),
    webhook_url: z.string(),
    attempt: z.int().min(1),
    response_code: responseCode,
    outcome,
    duration_ms: z.number(),
    trace_id: z.string(),
    error_id: z.string().optional().meta({ description: "With project_id: from the response's <prefix>-Error and <prefix>-Project." }),
    project_id: z.string().optional(),
    request_headers: z.record(z.string(), z.string()).optional().meta({
      description:
        "Present, like the members below, for test calls and attempts that did not deliver; for others if POSTHORN_LOG_DELIVERED_BODIES is true.",
    }),
    request_body: z.string().optional().meta({ description: "Cut to 1024 bytes." }),
    response_headers: z
      .record(z.string(), z.string())
      .nullish()
      .meta({ description: "Only of test calls; the first 4096 characters. Null: there was no response." }),
    response_body: z.string().nullish().meta({ description: "Cut to 1024 bytes; null: there was no response." }),
    error: z.string().nullish(),
  })
  .meta({
    id: "WebhookRequest",
    description: "One attempt, as the request log has it.",
    example: {
      date: "2026-01-05T10:11:12.345Z",
      event_type: "issue.created",
      event_id: "evt-1",
      delivery_id: DELIVERY_ID,
      installation_uuid: UUID,
      organization_id: "42",
      webhook_url: "https://hooks.acme.example/sentry",
      attempt: 1,
      response_code: 503,
      outcome: "failed",
      duration_ms: 55,
      trace_id: TRACE_ID,
      request_headers: { "Content-Type": "application/json", "webhook-id": DELIVERY_ID },
      request_body: '{"action":"created"}',
      response_body: "not now",
      error: "answered with status 503",
    },
  });

export const testResult = z
  .strictObject({
    delivery_id: z.string(),
    installation_uuid: z.string(),
    webhook_url: z.string(),
    outcome,
    response_code: responseCode,
    duration_ms: z.number(),
    error: z.string().nullable(),
    trace_id: z.string(),
    request_headers: z.record(z.string(), z.string()).meta({ description: "Custom headers are redacted." }),
    request_body: z.string().meta({ description: "Cut to 1024 bytes." }),
    response_headers: z.record(z.string(), z.string()).nullable().meta({ description: "Null: there was no response." }),
    response_body: z.string().nullable().meta({ description: "Cut to 1024 bytes; null: there was no response." }),
  })
  .meta({
    id: "TestResult",
    description: "The result of a test call.",
    example: {
      delivery_id: DELIVERY_ID,
      installation_uuid: UUID,
      webhook_url: "https://hooks.acme.example/sentry",
      outcome: "delivered",
      response_code: 200,
      duration_ms: 55,
      error: null,
      trace_id: TRACE_ID,
      request_headers: { "Content-Type": "application/json", "webhook-id": DELIVERY_ID },
      request_body: '{"action":"ping"}',
      response_headers: { "content-type": "text/plain" },
      response_body: "ok",
    },
  });

export const webhookRequestPage = boundedPageOf(
  webhookRequest,
  "WebhookRequestPage",
  `webhook-requests.1767607872345.${DELIVERY_ID}~1`,
  "Attempts before this time may be missing: the log keeps the last ones of each event type (POSTHORN_REQUEST_LOG_SIZE).",
);
