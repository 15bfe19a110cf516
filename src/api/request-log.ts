/** GET /v1/apps/{slug}/webhook-requests: the request log, and POST /v1/apps/{slug}/test: one attempt right now. */
import { z } from "zod";
import { type EventLimits, jsonExceeds } from "../model/event-reader.ts";
import { membersOf } from "../model/json-text.ts";
import { parseRecord, RecordInvalid, slugParameter, uuidParameter } from "../registry/records.ts";
import type { Registry } from "../registry/registry.ts";
import { eventType, flag, limit, time } from "./parameters.ts";
import type { CallTest, QueryRequestLog, TestCall } from "./ports.ts";
import { type Route, route } from "./route.ts";

const params = z.object({ slug: slugParameter });

export interface RequestLogRoutesDependencies {
  readonly registry: Registry;
  readonly queryRequestLog: QueryRequestLog;
  readonly callTest: CallTest;
  readonly eventLimits: EventLimits;
}

const testBody = z.strictObject({
  event_type: eventType.default("test.ping"),
  installation_uuid: uuidParameter.nullish().meta({ description: "Any of the app's when not given." }),
  data: z
    .looseObject({})
    .optional()
    .meta({ description: "Sent as it is written.", example: { message: "This is a test." } }),
});

export function requestLogRoutes({ registry, queryRequestLog, callTest, eventLimits }: RequestLogRoutesDependencies): Route[] {
  return [
    route({
      method: "GET",
      url: "/v1/apps/:slug/webhook-requests",
      access: "read",
      forApp: true,
      summary: "The last attempts of an app, newest first.",
      params,
      query: z.object({
        event_type: eventType.optional(),
        errors_only: flag.optional(),
        organization_id: z.string().optional(),
        start: time.optional().meta({ description: "The earliest attempt, included." }),
        end: time.optional().meta({ description: "The latest attempt, included." }),
        limit: limit(1000, 10_000),
      }),
      answers: { 200: "rows of the request log", 503: "Redis is away" },
      async handle({ params: { slug }, query }) {
        await registry.getApp(slug);
        const rows = await queryRequestLog({
          app: slug,
          eventType: query.event_type ?? null,
          errorsOnly: query.errors_only ?? false,
          organizationId: query.organization_id ?? null,
          start: query.start ?? null,
          end: query.end ?? null,
        });
        return { status: 200, body: { items: rows.slice(0, query.limit), next: null } };
      },
    }),
    route({
      method: "POST",
      url: "/v1/apps/:slug/test",
      access: "admin",
      forApp: true,
      summary: "Sends a test event to the app now and answers with what came back. Logged, not counted, not retried.",
      params,
      body: testBody,
      rawBody: true,
      answers: { 200: "the attempt", 409: "the app is installed nowhere" },
      async handle({ params: { slug }, body: text }) {
        const attempt = await callTest({ app: slug, ...readTestCall(text as unknown as string | undefined, eventLimits) });
        return {
          status: 200,
          body: {
            delivery_id: attempt.delivery.id,
            installation_uuid: attempt.installation.uuid,
            webhook_url: attempt.webhookUrl,
            outcome: attempt.outcome,
            response_code: attempt.responseCode,
            duration_ms: attempt.durationMs,
            error: attempt.error,
            trace_id: attempt.traceId,
          },
        };
      },
    }),
  ];
}

/** `data` stays the caller's own text, as in an event: number text, and names such as __proto__. */
function readTestCall(text: string | undefined, limits: EventLimits): Omit<TestCall, "app"> {
  const json = text === undefined || text.trim() === "" ? "{}" : text;
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch (error) {
    throw new RecordInvalid("body", [{ path: "", message: `not valid JSON (${(error as Error).message}), wanted a JSON object` }]);
  }
  const body = parseRecord(testBody, value, "body");
  const dataJson = membersOf(json).get("data") ?? '{"message":"This is a test."}';
  const excess = jsonExceeds(dataJson, limits);
  if (excess !== null) throw new RecordInvalid("body", [{ path: "data", message: excess }]);
  return { installationUuid: body.installation_uuid ?? null, eventType: body.event_type, dataJson };
}
