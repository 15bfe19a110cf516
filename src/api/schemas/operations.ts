/** Answers for operators: health, readiness, metrics, invalid records. */
import { z } from "zod";
import { count, next } from "./common.ts";

export const health = z
  .strictObject({ status: z.literal("ok") })
  .meta({ id: "Health", description: "The process is alive.", example: { status: "ok" } });

export const readinessCheck = z
  .strictObject({
    ok: z.boolean(),
    required: z.boolean().meta({ description: "False: shown, but the service works on without it." }),
    detail: z.string(),
  })
  .meta({ id: "ReadinessCheck", description: "One thing that Posthorn needs." });

export const readiness = z
  .strictObject({
    status: z.enum(["ready", "not ready"]),
    checks: z.record(z.string(), readinessCheck),
  })
  .meta({
    id: "Readiness",
    description: "Whether events are consumed and delivered, and what prevents it.",
    example: { status: "ready", checks: { nats: { ok: true, required: true, detail: "connected" } } },
  });

export const markdown = z.string().meta({ example: "# Error codes\n" });

export const metricsText = z.string().meta({ example: "posthorn_in_flight 0\n" });

export const invalidRecords = z
  .strictObject({
    total: count,
    items: z.array(
      z
        .strictObject({
          key: z.string(),
          revision: count,
          problem: z.string(),
          earlier_in_force: z.boolean().meta({ description: "False: the record is ignored until it is written again." }),
        })
        .meta({ id: "InvalidRecord", description: "A record that can't be read." }),
    ),
    next,
  })
  .meta({
    id: "InvalidRecords",
    description: "Records of the registry bucket that can't be read.",
    example: {
      total: 1,
      items: [
        { key: "app.acme-tracker", revision: 17, problem: "invalid record: not JSON in UTF-8, wanted an object", earlier_in_force: true },
      ],
      next: null,
    },
  });
