/** The record of a replay in the registry bucket: what is asked for, and how far it has come. */
import { z } from "zod";
import { APP_SLUG, EVENT_PATTERN, INSTALLATION_UUID } from "../model/app.ts";
import { AppError } from "../model/app-error.ts";
import type { RecordKind } from "../model/record-kind.ts";
import { REPLAY_ID, REPLAY_KINDS, REPLAY_STATES } from "../model/replay.ts";

const count = z.int().min(0);
/** Milliseconds since the epoch. */
const time = z.number().min(0);

/** The messages of a stream that a replay reads, as sequences; `next` ≤ `last` while some are left. */
const span = z.strictObject({ first: count, next: count, last: count });

const counts = z.strictObject({
  /** Found, by kind: dead letters, deliveries that were neither delivered nor given up, and delivered ones. */
  failed: count,
  missed: count,
  delivered: count,
  sent: count,
  skipped: count,
});

/** Reasons for which a running replay sends nothing now. */
export const WAIT_REASONS = ["events", "throttled", "circuit", "rate", "queue", "capacity", "retries"] as const;

const record = z.looseObject({
  id: z.string().regex(REPLAY_ID),
  app: z.string().regex(APP_SLUG),
  /** A later app of the same slug is another app. */
  app_created_at: time.nullable(),
  installation_uuid: z.string().regex(INSTALLATION_UUID).nullable(),
  event_types: z.array(z.string().regex(EVENT_PATTERN)).nullable(),
  /** When events were published: from ≤ t < to. */
  from: time.nullable(),
  to: time,
  what: z.enum(REPLAY_KINDS),
  rate_per_s: z.number().positive(),
  dry_run: z.boolean(),
  state: z.enum(REPLAY_STATES),
  waiting_for: z.enum(WAIT_REASONS).nullable(),
  error: z.string().nullable(),
  created_at: time,
  updated_at: time,
  ended_at: time.nullable(),
  /** Names the runner that has it; progress of an earlier one is not written any more. */
  runner: z.string().nullable(),
  /** Null: the replay does not read the stream. */
  events: span.nullable(),
  dead_letters: span.nullable(),
  counts,
  /** How the deliveries ended, once all have; until then Redis knows. */
  outcome: z.strictObject({ done: count, failed: count }).nullable(),
});

export type ReplayRecord = z.output<typeof record>;
export type ReplaySpan = z.output<typeof span>;
export type ReplayCounts = z.output<typeof counts>;
export type WaitReason = (typeof WAIT_REASONS)[number];

const PREFIX = "replay.";

/** @throws AppError RECORD_INVALID */
export function parseReplay(id: string, value: string): ReplayRecord {
  const found = record.safeParse(jsonOf(value));
  if (!found.success || found.data.id !== id) {
    const path = found.success ? "id" : found.error.issues[0]?.path.join(".");
    throw new AppError("RECORD_INVALID", `record ${PREFIX}${id}: ${path || "wanted a JSON object"} is missing or malformed`);
  }
  return found.data;
}

export const REPLAYS: RecordKind<ReplayRecord> = { prefix: PREFIX, parse: parseReplay };

export function hasEnded({ state }: Pick<ReplayRecord, "state">): boolean {
  return state === "done" || state === "cancelled" || state === "failed";
}

function jsonOf(value: string): unknown {
  try {
    return JSON.parse(value);
  } catch {
    return null;
  }
}
