/** Replays: what is asked for, and how far it has come. */
import { z } from "zod";
import { EVENT_PATTERN } from "../../model/app.ts";
import { REPLAY_ID, REPLAY_KINDS, REPLAY_STATES } from "../../model/replay.ts";
import { slugParameter, uuidParameter } from "../../registry/records.ts";
import { WAIT_REASONS } from "../../replays/replay-record.ts";
import { AT, count, pageOf, time, UUID } from "./common.ts";
import { time as timeParameter } from "./parameters.ts";

const REPLAY = "rpl_8d3f1c0a5b7e4d2996f0a1b2c3d4e5f6";
const DEFAULT_RATE_PER_S = 50;
const MAX_RATE_PER_S = 1_000;
const MAX_TYPES = 100;

export const replayId = z.string().regex(REPLAY_ID, "wanted rpl_ and 32 hex digits").meta({ example: REPLAY });

export const replayBody = z
  .strictObject({
    app: slugParameter.nullish().meta({ description: "The app whose installations get deliveries again." }),
    installation_uuid: uuidParameter.nullish().meta({ description: "Only this installation; may stand alone." }),
    event_types: z
      .array(z.string().regex(EVENT_PATTERN, "wanted *, <resource>, <resource>.* or <resource>.<action>"))
      .min(1)
      .max(MAX_TYPES)
      .nullish()
      .meta({ description: "Patterns as in an app's `events`; all types when absent." }),
    from: timeParameter.nullish().meta({ description: "Events published at this time or later; from the oldest on when absent." }),
    to: timeParameter.nullish().meta({ description: "Events published before this time; until now when absent." }),
    what: z.enum(REPLAY_KINDS).meta({
      description:
        "failed: dead letters; missed: events that the installation wants now and that were not delivered to it, also those of before it was installed; all: both, and what was delivered.",
    }),
    rate_per_s: z
      .number()
      .min(0.1)
      .max(MAX_RATE_PER_S)
      .default(DEFAULT_RATE_PER_S)
      .meta({ description: "At most so many deliveries are sent per second." }),
    dry_run: z.boolean().default(false).meta({ description: "Only counts." }),
  })
  .refine(({ from, to }) => from == null || to == null || from <= to, { path: ["from"], message: "later than to, wanted from ≤ to" })
  .meta({ id: "ReplayBody", description: "The deliveries to send again, and how fast." });

export const replay = z
  .strictObject({
    id: z.string(),
    app: z.string(),
    installation_uuid: z.string().nullable().meta({ description: "Null: all installations of the app." }),
    event_types: z.array(z.string()).nullable().meta({ description: "Null: all." }),
    from: time.nullable().meta({ description: "Null: from the oldest event on." }),
    to: time,
    what: z.enum(REPLAY_KINDS),
    rate_per_s: z.number(),
    dry_run: z.boolean(),
    state: z.enum(REPLAY_STATES).meta({
      description: "done: every delivery was delivered or is a dead letter. failed: it can't continue, and `error` says why.",
    }),
    waiting_for: z.enum(WAIT_REASONS).nullable().meta({
      description:
        "Why nothing is sent now: events (newer events are delivered first), throttled (the receiver has asked for a pause), circuit (the app's circuit is open), rate (the app's rate limit is used up), queue (deliveries of the app are parked), capacity (fresh deliveries use the app's slots), retries (too many deliveries of the replay have not ended, or only those are left).",
    }),
    error: z.string().nullable(),
    created_at: time,
    updated_at: time,
    ended_at: time.nullable(),
    percent: z.int().min(0).max(100).meta({ description: "How much of the range was read." }),
    found: count.meta({ description: "Deliveries that the replay is for, so far." }),
    found_by_kind: z.strictObject({
      failed: count.meta({ description: "Dead letters." }),
      missed: count.meta({ description: "Not delivered, and no dead letter." }),
      delivered: count,
    }),
    sent: count.meta({ description: "Attempted or stored for delivery." }),
    done: count.meta({ description: "Delivered." }),
    skipped: count.meta({
      description: "Waiting for delivery already, not wanted by the installation any more, or a dead letter that can't be read.",
    }),
    failed: count.meta({ description: "Became dead letters again." }),
  })
  .meta({
    id: "Replay",
    description: "Sends the deliveries of a period again.",
    example: {
      ...{ id: REPLAY, app: "acme-tracker", installation_uuid: UUID, event_types: ["issue"] },
      ...{ from: "2026-01-04T20:00:00.000Z", to: "2026-01-05T06:00:00.000Z", what: "missed", rate_per_s: 50, dry_run: false },
      ...{ state: "running", waiting_for: null, error: null, created_at: AT, updated_at: AT, ended_at: null, percent: 40 },
      ...{ found: 8, found_by_kind: { failed: 1, missed: 7, delivered: 0 }, sent: 7, done: 5, skipped: 1, failed: 0 },
    },
  });

export const replayPage = pageOf(replay, "ReplayPage", `replays.1767607872345.${REPLAY}`);
