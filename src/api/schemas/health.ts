/** The form of GET /v1/installations/{uuid}/health; status/integration-health.ts answers with it. */

import { z } from "zod";
import { INSTALLATION_STATUSES } from "../../model/app.ts";

const time = z.string().meta({ format: "date-time" });
const count = z.int().min(0);
const counters = { success: count, error: count, timeout: count, fatal: count };

export const integrationHealth = z
  .strictObject({
    uuid: z.string(),
    status: z.enum(INSTALLATION_STATUSES),
    broken: z
      .strictObject({
        at: time,
        reason: z.strictObject({
          rule: z.string(),
          window_days: z.int(),
          days: z.array(z.string()).meta({ description: "UTC days, oldest first." }),
          ...counters,
          last_response_code: z.int().nullable(),
          last_error: z.string().nullable(),
        }),
        next_probe_at: time
          .nullable()
          .meta({ description: "In the past while nothing is parked. Null where broken ones are delivered to." }),
      })
      .nullable()
      .meta({ description: "Null when it is not broken." }),
    days: z
      .array(z.strictObject({ day: z.string(), ...counters }))
      .nullable()
      .meta({ description: "The counters since it last became active, or broke; null when Redis is away." }),
    parked: z.strictObject({ deliveries: count, oldest_at: time.nullable() }).meta({
      description: "In the installation's own queue; what waits for its app is in the app's.",
    }),
    recovered: z
      .strictObject({ at: time, backlog: count.nullable() })
      .nullable()
      .meta({ description: "When it last became active, and how many deliveries waited then." }),
  })
  .meta({
    id: "IntegrationHealth",
    example: {
      uuid: "0f3c1d2e-5b6a-4c7d-8e9f-0a1b2c3d4e5f",
      status: "broken",
      broken: {
        at: "2026-01-05T10:11:12.345Z",
        reason: {
          ...{ rule: "fatal", window_days: 7, days: ["2026-01-05"], success: 12, error: 0, timeout: 0, fatal: 1 },
          ...{ last_response_code: 410, last_error: "answered with status 410" },
        },
        next_probe_at: "2026-01-05T11:11:12.345Z",
      },
      days: [{ day: "2026-01-05", success: 0, error: 0, timeout: 0, fatal: 0 }],
      parked: { deliveries: 3, oldest_at: "2026-01-05T10:12:00.000Z" },
      recovered: null,
    },
  });
