/** Posthorn itself. */
import { z } from "zod";
import { AT, count, time } from "./common.ts";
import { readinessCheck } from "./operations.ts";

const systemStream = z
  .strictObject({
    purpose: z.enum(["events", "retries", "parked", "dead-letters", "status", "audit"]),
    name: z.string(),
    messages: count,
    bytes: count,
    max_messages: count.nullable().meta({ description: "Null limits: none." }),
    max_bytes: count.nullable(),
    max_age_s: count.nullable(),
    oldest_at: time.nullable().meta({ description: "When its oldest message was stored. Null: it is empty." }),
    replicas: z.int().meta({ description: "Copies of the stream in the NATS cluster." }),
    refusing: z.boolean().meta({ description: "This replica could not store a message in it." }),
  })
  .meta({ id: "SystemStream", description: "A stream with its size and limits." });

const systemServer = z
  .strictObject({
    kind: z.enum(["nats", "redis"]),
    address: z.string().meta({ description: "`<host>:<port>`" }),
    version: z.string().nullable().meta({ description: "Null: the server did not say." }),
    connected_since: time.nullable().meta({ description: "Null: not connected now." }),
    used_memory_bytes: count.nullable().meta({ description: "Of Redis. Null: the server did not say." }),
    max_memory_bytes: count.nullable().meta({ description: "Of Redis, its maxmemory. Null: no limit, or the server did not say." }),
  })
  .meta({ id: "SystemServer", description: "A server of NATS or Redis that the replica that answers is connected to." });

const systemReplica = z
  .strictObject({
    id: z.string(),
    host: z.string().nullable().meta({ description: "Null members: a replica of an earlier version does not say it." }),
    version: z.string().nullable(),
    started_at: time.nullable(),
    seen_at: time,
    ready: z.boolean().nullable(),
    in_flight: count.nullable(),
    waiting: count.nullable(),
    this: z.boolean().meta({ description: "The replica that answers." }),
  })
  .meta({ id: "SystemReplica", description: "A process of Posthorn." });

const busyApp = z
  .strictObject({ app: z.string(), attempts: count, failures: count, parked: count.nullable() })
  .meta({ id: "BusyApp", description: "An app's attempts of the last 5 minutes, and what is parked for it." });

export const system = z
  .strictObject({
    at: time,
    events: z
      .strictObject({
        pending: count.meta({ description: "No replica has taken them yet." }),
        ack_pending: count.meta({ description: "Taken by a replica, and not acknowledged." }),
        oldest_unacked_age_s: count,
      })
      .meta({ id: "SystemEvents", description: "Events that wait." })
      .nullable(),
    in_flight: count.meta({ description: "Attempts in flight, of all replicas." }),
    waiting: count.meta({ description: "Deliveries that wait for a slot, of all replicas." }),
    streams: z.array(systemStream).nullable(),
    checks: z.record(z.string(), readinessCheck).meta({ description: "As GET /readyz of the replica that answers." }),
    servers: z.array(systemServer).meta({ description: "NATS, and Redis with each primary of a cluster." }),
    replicas: z.array(systemReplica).meta({ description: "Those that were seen in the last 10 seconds; the one that answers first." }),
    busiest_apps: z.array(busyApp).nullable().meta({ description: "At most 10, by their attempts of the last 5 minutes." }),
  })
  .meta({
    id: "System",
    description: "Posthorn itself. Null members can't be read now.",
    example: {
      at: AT,
      events: { pending: 0, ack_pending: 3, oldest_unacked_age_s: 0 },
      ...{ in_flight: 3, waiting: 0 },
      streams: [
        {
          ...{ purpose: "events", name: "APP_PLATFORM_EVENTS", messages: 1200, bytes: 480_000, max_messages: null, max_bytes: null },
          ...{ max_age_s: 604_800, oldest_at: AT, replicas: 1, refusing: false },
        },
      ],
      checks: { nats: { ok: true, required: true, detail: "connected" } },
      servers: [
        {
          ...{ kind: "redis", address: "redis:6379", version: "8.4.0", connected_since: AT },
          ...{ used_memory_bytes: 12_400_000, max_memory_bytes: 1_000_000_000 },
        },
      ],
      replicas: [
        {
          ...{ id: "6f1c2d3e-5b6a-4c7d-8e9f-0a1b2c3d4e5f", host: "posthorn-1", version: "0.2.0", started_at: AT, seen_at: AT },
          ...{ ready: true, in_flight: 3, waiting: 0, this: true },
        },
      ],
      busiest_apps: [{ app: "acme-tracker", attempts: 840, failures: 2, parked: 0 }],
    },
  });
