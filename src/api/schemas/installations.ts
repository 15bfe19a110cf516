/** Answers about installations and their health. */
import { z } from "zod";
import {
  brokenReason,
  brokenReasonExample,
  count,
  counters,
  installationStatus,
  pageOf,
  recordMembers,
  recordTimes,
  time,
  UUID,
} from "./common.ts";

export const installation = z
  .strictObject({
    uuid: z.string().meta({ format: "uuid" }),
    app: z.string(),
    organization_id: z.string(),
    project_ids: z.array(z.string()).meta({ description: "Empty: all projects." }),
    status: installationStatus,
    webhook_url: z.string().nullable().meta({ description: "Null: the app's. Secrets in it are shown as in an app's." }),
    ...recordMembers,
  })
  .meta({
    id: "Installation",
    description: "An app that is installed in an organization.",
    example: {
      ...{ uuid: UUID, app: "acme-tracker", organization_id: "42", project_ids: ["7"], status: "active", webhook_url: null },
      ...recordTimes,
    },
  });

export const discarded = z
  .strictObject({
    discarded: count,
    in_flight: count.optional().meta({
      description: "Deliveries that were still in flight after 15 s and are completed normally. Absent when there were none.",
    }),
  })
  .meta({ id: "Discarded", description: "The number of deliveries that were discarded.", example: { discarded: 12 } });

export const installationPage = pageOf(installation, "InstallationPage", `installations.1767607872345.${UUID}`);

export const integrationHealth = z
  .strictObject({
    uuid: z.string(),
    status: installationStatus,
    broken: z
      .strictObject({
        at: time,
        reason: brokenReason,
        next_probe_at: time
          .nullable()
          .meta({ description: "In the past while nothing is parked. Null where broken installations still get deliveries." }),
      })
      .nullable()
      .meta({ description: "Null when it is not broken." }),
    days: z
      .array(z.strictObject({ day: z.string(), ...counters }).meta({ id: "HealthDay", description: "Counters of a UTC day." }))
      .nullable()
      .meta({ description: "The counters since it last became active or broken; null while Redis is unreachable." }),
    parked: z.strictObject({ deliveries: count, oldest_at: time.nullable() }).meta({
      description: "In the installation's own queue. Deliveries that wait for the app are in the app's queue.",
    }),
    recovered: z
      .strictObject({ at: time, backlog: count.nullable() })
      .nullable()
      .meta({ description: "When it last became active, and how many deliveries were parked then." }),
  })
  .meta({
    id: "IntegrationHealth",
    description: "Why an installation has its status.",
    example: {
      uuid: UUID,
      status: "broken",
      broken: {
        at: "2026-01-05T10:11:12.345Z",
        reason: brokenReasonExample,
        next_probe_at: "2026-01-05T11:11:12.345Z",
      },
      days: [{ day: "2026-01-05", success: 0, error: 0, timeout: 0, fatal: 0 }],
      parked: { deliveries: 3, oldest_at: "2026-01-05T10:12:00.000Z" },
      recovered: null,
    },
  });
