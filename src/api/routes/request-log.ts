/** GET /v1/apps/{slug}/webhook-requests: the request log, and POST /v1/apps/{slug}/test: one attempt right now. */
import { z } from "zod";
import type { TestCallRequest } from "../../delivery/test-call.ts";
import { toRfc3339 } from "../../model/clock.ts";
import type { EventLimits } from "../../model/event-reader.ts";
import { jsonExceeds } from "../../model/json-limits.ts";
import { membersOf } from "../../model/json-text.ts";
import { withoutSecrets } from "../../model/redaction/safe-url.ts";
import { epochMsOf } from "../../model/rfc3339.ts";
import { parseRecord, RecordInvalid, slugParameter, uuidParameter } from "../../registry/records.ts";
import type { Registry } from "../../registry/registry.ts";
import { evidence, type LogRow } from "../../storage/log-row.ts";
import type { QueryRequestLog } from "../../storage/request-log-query.ts";
import { answer, type Route, route } from "../http/route.ts";
import type { CallTest } from "../ports.ts";
import { createList, MAX_PAGE, type Position } from "../schemas/paging.ts";
import { deliveryId, eventType, flag, inOrder, outcome, responseCode, time } from "../schemas/parameters.ts";
import { testResult, webhookRequestPage } from "../schemas/request-log.ts";

const list = createList("webhook-requests");

const params = z.object({ slug: slugParameter });

export interface RequestLogRoutesDependencies {
  readonly registry: Registry;
  readonly queryRequestLog: QueryRequestLog;
  readonly callTest: CallTest;
  readonly eventLimits: EventLimits;
}

const testBody = z
  .strictObject({
    event_type: eventType.default("test.ping"),
    installation_uuid: uuidParameter.nullish().meta({ description: "Any installation of the app when absent." }),
    data: z
      .looseObject({})
      .optional()
      .meta({ description: "Sent unchanged.", example: { message: "This is a test." } }),
  })
  .meta({ id: "TestBody", description: "The event of a test call." });

export function requestLogRoutes({ registry, queryRequestLog, callTest, eventLimits }: RequestLogRoutesDependencies): Route[] {
  return [
    route({
      operationId: "listWebhookRequests",
      method: "GET",
      url: "/v1/apps/:slug/webhook-requests",
      access: "read",
      forApp: true,
      forOrganization: "read",
      summary: "Lists the last attempts of an app, newest first.",
      params,
      query: inOrder(
        z.object({
          event_type: eventType.optional(),
          errors_only: flag.optional(),
          organization_id: z.string().min(1).optional(),
          installation_uuid: uuidParameter.optional(),
          event_id: z.string().min(1).optional(),
          delivery_id: deliveryId.optional(),
          outcome: outcome.optional(),
          response_code: responseCode.optional(),
          start: time.optional().meta({ description: "Attempts that began at this time or later." }),
          end: time.optional().meta({ description: "Attempts that began before this time." }),
          ...list.query(MAX_PAGE),
        }),
      ),
      answers: { 200: answer("a page of the request log", webhookRequestPage), 503: "Redis is unreachable" },
      async handle({ params: { slug }, query, caller }) {
        await registry.getApp(slug);
        const { rows, reachesBackTo } = await queryRequestLog({
          app: slug,
          eventType: query.event_type ?? null,
          errorsOnly: query.errors_only ?? false,
          organizationId: caller.onlyOrganization ?? query.organization_id ?? null,
          start: query.start ?? null,
          end: query.end ?? null,
          installationUuid: query.installation_uuid ?? null,
          eventId: query.event_id ?? null,
          deliveryId: query.delivery_id ?? null,
          outcome: query.outcome ?? null,
          responseCode: query.response_code ?? null,
        });
        const page = list.page(rows, positionOf, query);
        return { status: 200, body: { ...page, reaches_back_to: reachesBackTo === null ? null : toRfc3339(reachesBackTo) } };
      },
    }),
    route({
      operationId: "testApp",
      method: "POST",
      url: "/v1/apps/:slug/test",
      access: "admin",
      forApp: true,
      summary: "Sends a test event to the app now and answers with the result. The attempt is logged, but neither counted nor retried.",
      params,
      body: testBody,
      rawBody: true,
      answers: {
        200: answer("the attempt", testResult),
        409: "the app is not installed anywhere",
        429: "too many test calls are in flight",
        503: "NATS did not answer, and no attempt starts meanwhile",
      },
      example: { event_type: "issue.created", data: { issue: { id: "1" } } },
      async handle({ params: { slug }, body: text }) {
        const attempt = await callTest({ app: slug, ...readTestCall(text as unknown as string | undefined, eventLimits) });
        return {
          status: 200,
          body: {
            delivery_id: attempt.delivery.id,
            installation_uuid: attempt.installation.uuid,
            webhook_url: withoutSecrets(attempt.webhookUrl),
            outcome: attempt.outcome,
            response_code: attempt.responseCode,
            duration_ms: attempt.durationMs,
            trace_id: attempt.traceId,
            ...evidence(attempt),
          },
        };
      },
    }),
  ];
}

function positionOf({ date, delivery_id: deliveryId, attempt }: LogRow): Position {
  return { at: epochMsOf(date), key: `${deliveryId}~${attempt}` };
}

/** `data` stays the caller's JSON text, as in an event, so that number text and names such as __proto__ are kept. */
function readTestCall(text: string | undefined, limits: EventLimits): Omit<TestCallRequest, "app"> {
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
