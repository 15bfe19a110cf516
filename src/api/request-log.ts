/** GET /v1/apps/{slug}/webhook-requests: the request log, and POST /v1/apps/{slug}/test: one attempt right now. */
import { z } from "zod";
import { slugParameter, uuidParameter } from "../registry/records.ts";
import type { Registry } from "../registry/registry.ts";
import { eventType, flag, limit, time } from "./parameters.ts";
import type { CallTest, QueryRequestLog } from "./ports.ts";
import { type Route, route } from "./route.ts";

const params = z.object({ slug: slugParameter });

export interface RequestLogRoutesDependencies {
  readonly registry: Registry;
  readonly queryRequestLog: QueryRequestLog;
  readonly callTest: CallTest;
}

export function requestLogRoutes({ registry, queryRequestLog, callTest }: RequestLogRoutesDependencies): Route[] {
  return [
    route({
      method: "GET",
      url: "/v1/apps/:slug/webhook-requests",
      access: "read",
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
      summary: "Sends a test event to the app now and answers with what came back. Logged, not counted, not retried.",
      params,
      body: z
        .strictObject({
          event_type: eventType.default("test.ping"),
          installation_uuid: uuidParameter.nullish().meta({ description: "Any of the app's when not given." }),
          data: z.record(z.string(), z.unknown()).default({ message: "This is a test." }),
        })
        .default({ event_type: "test.ping", data: { message: "This is a test." } }),
      answers: { 200: "the attempt", 409: "the app is installed nowhere" },
      async handle({ params: { slug }, body }) {
        const attempt = await callTest({
          app: slug,
          installationUuid: body.installation_uuid ?? null,
          eventType: body.event_type,
          dataJson: JSON.stringify(body.data),
        });
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
