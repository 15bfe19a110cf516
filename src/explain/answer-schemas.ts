/** The answers of GET /v1/deliveries/{id} and GET /v1/events/{id}. */
import { z } from "zod";
import { INSTALLATION_STATUSES } from "../model/app.ts";
import { CIRCUIT_STATES } from "../model/circuit-state.ts";
import type { RawJson } from "../model/raw-json.ts";

const time = z.string().meta({ format: "date-time", description: "RFC 3339, UTC." });

const UUID = "0f3c1d2e-5b6a-4c7d-8e9f-0a1b2c3d4e5f";
const TRACE_ID = "0af7651916cd43dd8448eb211c80319c";
const DELIVERY_EXAMPLE = {
  delivery_id: "dlv_5f2b6c0a9e134d7788aa10c3d4e5f607",
  app: "acme-tracker",
  installation_uuid: UUID,
  state: "retrying",
  detail: "attempt 2 is due at 2026-01-05T10:11:17.345Z",
  delivered_at: null,
  next_attempt_at: "2026-01-05T10:11:17.345Z",
  retry: { sequence: 3, tier_s: 4, due_at: "2026-01-05T10:11:17.345Z", stored_at: "2026-01-05T10:11:12.400Z" },
  parked: null,
  dead_letter: null,
  installation_status: "active",
  throttled: null,
  stopped_by: null,
  circuit: "closed",
  attempts: [
    {
      attempt: 1,
      at: "2026-01-05T10:11:12.345Z",
      outcome: "failed",
      response_code: 503,
      duration_ms: 55,
      error: "answered with status 503",
      response_body: "not now",
      webhook_url: "https://hooks.acme.example/sentry",
      trace_id: TRACE_ID,
    },
  ],
  skipped: [],
  timeline: [
    { at: "2026-01-05T10:11:12.300Z", kind: "event", detail: "the event was stored in APP_PLATFORM_EVENTS as 1" },
    { at: "2026-01-05T10:11:12.345Z", kind: "attempt", detail: "attempt 1: failed, answered with status 503" },
    { at: "2026-01-05T10:11:17.345Z", kind: "due", detail: "the next attempt is due" },
  ],
  trace_id: TRACE_ID,
};
const EVENT_EXAMPLE = {
  id: "evt-1",
  source: null,
  type: "issue.created",
  organization_id: "42",
  project_id: "7",
  app: null,
  installation_uuid: null,
  occurred_at: "2026-01-05T10:11:12.000Z",
  stored_at: "2026-01-05T10:11:12.300Z",
  stream: "APP_PLATFORM_EVENTS",
  sequence: 1,
  stage: "handled",
  trace_id: TRACE_ID,
  data: { issue: { id: "1" } },
  actor: null,
};
const NOT_WANTED_EXAMPLE = {
  app: "pager",
  installation_uuid: "77e6d5c4-b3a2-4190-8f7e-6d5c4b3a2918",
  because: "not_subscribed",
  detail: "it subscribes to metric_alert.*",
};

const explainedAttempt = z
  .object({
    attempt: z.int().meta({ description: "Counts from 1 in each run; a resend or replay is a run of its own." }),
    at: time,
    outcome: z.string().meta({ description: "delivered, gone, failed, rejected, timed_out, unreachable, sender_failed or blocked." }),
    response_code: z.int().meta({ description: "0: no complete answer." }),
    duration_ms: z.number(),
    error: z.string().nullable(),
    response_body: z
      .string()
      .nullable()
      .meta({ description: "The beginning of the body, if the attempt did not deliver and is still in the request log." }),
    webhook_url: z.string().nullable(),
    trace_id: z.string().nullable(),
  })
  .meta({ id: "ExplainedAttempt", description: "One attempt of a delivery." });

const timelineEntry = z
  .object({
    at: time,
    kind: z.enum(["event", "attempt", "skipped", "waiting", "due", "expires", "delivered", "dead_letter"]),
    detail: z.string(),
  })
  .meta({ id: "TimelineEntry", description: "One step of a delivery." });

export const keyStop = z
  .object({
    delivery_id: z.string(),
    dead_letter: z.int().meta({ description: "The sequence of its dead letter." }),
    since: time,
  })
  .meta({ id: "KeyStop", description: "A delivery whose dead letter stops its order key." });

const explainedDelivery = z
  .object({
    delivery_id: z.string().meta({ description: "The webhook-id header." }),
    app: z.string(),
    installation_uuid: z.string(),
    state: z.enum(["delivered", "retrying", "parked", "throttled", "dead_letter", "pending", "test_failed", "unknown"]),
    detail: z.string().meta({ description: "The state in a sentence: the reason, and what happens next." }),
    delivered_at: time.nullable(),
    next_attempt_at: time.nullable().meta({ description: "Earliest time of the next attempt; null: none is scheduled." }),
    retry: z.object({ sequence: z.int(), tier_s: z.int(), due_at: time, stored_at: time }).nullable(),
    parked: z
      .object({
        sequence: z.int(),
        queue: z.string().meta({ description: "The subject of the parked stream." }),
        since: time,
        because: z.enum(["disabled", "broken", "stopped", "throttled", "circuit", "ordered", "rate_limit", "pace", "queue"]),
        expires_at: time.meta({
          description: "When it goes to dead letters. While a dead letter stops its order key, not before the key continues.",
        }),
      })
      .nullable(),
    dead_letter: z.object({ sequence: z.int(), reason: z.string(), error: z.string().nullable(), at: time }).nullable(),
    installation_status: z.enum([...INSTALLATION_STATUSES, "uninstalled"]).meta({ description: "The current status." }),
    throttled: z
      .object({ until: time, response_code: z.int() })
      .nullable()
      .meta({ description: "The app's receiver has asked for a pause until then, with this answer; null: it has not, or that is over." }),
    stopped_by: keyStop.nullable().meta({
      description: "The dead letter that stops its order key (`on_exhausted: stop`), which may be its own; null: the key is not stopped.",
    }),
    circuit: z.enum(CIRCUIT_STATES).meta({ description: "The app's current circuit state." }),
    attempts: z.array(explainedAttempt).meta({ description: "Known attempts, oldest first." }),
    skipped: z
      .array(
        z.object({
          at: time,
          event_sequence: z.int().meta({ description: "Sequence of the skipped message in the events stream." }),
          delivered_event_sequence: z
            .int()
            .nullable()
            .meta({ description: "Sequence of the message that the delivery was made for, or will be." }),
          detail: z.string(),
        }),
      )
      .meta({
        description:
          "Messages that were skipped because the delivery was delivered, or waited in its order, already: the same event handled again, or published twice.",
      }),
    timeline: z.array(timelineEntry).meta({
      description: "Its way in order of time: the event, the attempts, what it waits for, and what is due next.",
    }),
    trace_id: z.string().nullable(),
  })
  .meta({ id: "ExplainedDelivery", description: "A delivery: its attempts, and where it is now." });

/** The publisher's own JSON text. */
const publishedJson = z.looseObject({}).nullable() as unknown as z.ZodType<RawJson | null>;

const explainedEvent = z
  .object({
    id: z.string(),
    source: z.string().nullable().meta({ description: "Source of a CloudEvent; null for a plain event." }),
    type: z.string().nullable().meta({ description: "Null, like the members below, when the event is no longer stored anywhere." }),
    organization_id: z.string().nullable(),
    project_id: z.string().nullable(),
    app: z.string().nullable().meta({ description: "The app it is addressed to; null: any." }),
    installation_uuid: z.string().nullable().meta({ description: "The installation it is addressed to; null: any." }),
    occurred_at: time.nullable(),
    stored_at: time.nullable(),
    stream: z.string().nullable(),
    sequence: z.int().nullable().meta({ description: "Null: it is not in the events stream, or no longer." }),
    stage: z.enum(["waiting", "taken", "handled"]).nullable().meta({
      description: "waiting: not taken from the stream yet; taken: in progress; handled: acknowledged.",
    }),
    trace_id: z.string().nullable(),
    data: publishedJson.meta({ description: "As published. Null, like actor: the event is no longer stored anywhere." }),
    actor: publishedJson.meta({ description: "Null: the event names none." }),
  })
  .meta({ id: "ExplainedEvent", description: "An event and how far it has come." });

const notes = z.array(z.string()).meta({ description: "Limits of this answer, and why." });

export const deliveryAnswer = z
  .object({
    delivery: explainedDelivery,
    event: explainedEvent.nullable().meta({ description: "Null: it is no longer stored anywhere." }),
    notes,
  })
  .meta({
    id: "DeliveryAnswer",
    description: "A delivery, explained.",
    example: { delivery: DELIVERY_EXAMPLE, event: EVENT_EXAMPLE, notes: [] },
  });

/** States that the list knows; an event that waits has no deliveries yet. */
export const LISTED_STATES = ["retrying", "parked", "throttled", "delivered", "dead_letter", "test_failed", "unknown"] as const;
export type ListedState = (typeof LISTED_STATES)[number];

export const listedDelivery = explainedDelivery
  .omit({ attempts: true, skipped: true, timeline: true })
  .extend({
    at: time.meta({ description: "Its newest attempt, or when it was stored to wait, or given up: the order of the list." }),
    event_id: z.string(),
    event_type: z.string(),
    organization_id: z.string().nullable().meta({ description: "Null: the installation was removed, and the log does not say." }),
    last_attempt: explainedAttempt.nullable().meta({ description: "The last known attempt; null: none is known." }),
  })
  .meta({ id: "ListedDelivery", description: "A delivery of a list.", example: listedExample(DELIVERY_EXAMPLE) });

export const listedEvent = explainedEvent
  .extend({ problem: z.string().nullable().meta({ description: "Why the event can't be read; its other members are null then." }) })
  .meta({ id: "ListedEvent", description: "An event of a list.", example: { ...EVENT_EXAMPLE, problem: null } });

function listedExample({ attempts, skipped: _skipped, timeline: _timeline, ...delivery }: typeof DELIVERY_EXAMPLE): object {
  return {
    ...{ at: "2026-01-05T10:11:12.400Z", ...delivery },
    ...{ event_id: "evt-1", event_type: "issue.created", organization_id: "42", last_attempt: attempts[0] ?? null },
  };
}

const explainedAddressees = z.object({
  event: explainedEvent,
  deliveries: z.array(explainedDelivery).meta({
    description: "One per installation that the event went to when it was handled; before that, one per installation that wants it.",
  }),
  not_wanted: z
    .array(
      z.object({
        app: z.string(),
        installation_uuid: z.string().nullable().meta({ description: "Null: the app that was asked about has none." }),
        because: z.enum([
          "not_subscribed",
          "other_project",
          "other_app",
          "other_installation",
          "no_app",
          "not_installed",
          "installed_later",
          "changed_later",
        ]),
        detail: z.string(),
      }),
    )
    .meta({
      description: "The other installations of the event's organization. Other organizations never get the event and are not listed.",
    }),
});

export const eventAnswer = explainedAddressees
  .extend({
    others: z.array(explainedAddressees.meta({ id: "EventOfSameId", description: "Another event with the same id." })).meta({
      description: "Other events with the same id, newest first: plain events of another type, CloudEvents of another source.",
    }),
    notes,
  })
  .meta({
    id: "EventAnswer",
    description: "An event, explained.",
    example: { event: EVENT_EXAMPLE, deliveries: [DELIVERY_EXAMPLE], not_wanted: [NOT_WANTED_EXAMPLE], others: [], notes: [] },
  });

export type TimelineEntry = z.output<typeof timelineEntry>;
export type ExplainedAttempt = z.output<typeof explainedAttempt>;
export type ExplainedDelivery = z.output<typeof explainedDelivery>;
export type ExplainedEvent = z.output<typeof explainedEvent>;
export type ListedDelivery = z.output<typeof listedDelivery>;
export type ListedEvent = z.output<typeof listedEvent>;
export type DeliveryAnswer = z.output<typeof deliveryAnswer>;
export type EventOfSameId = z.output<typeof explainedAddressees>;
export type EventAnswer = z.output<typeof eventAnswer>;
