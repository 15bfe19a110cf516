/** Answers about dead letters and their replays. */
import { z } from "zod";
import { count, DELIVERY_ID, outcome, pageOf, responseCode, time, UUID } from "./common.ts";

const attemptSummary = z
  .strictObject({
    attempt: z.int().min(1),
    at: time,
    outcome,
    response_code: responseCode,
    duration_ms: z.number(),
    error: z.string().nullable(),
  })
  .meta({ id: "AttemptSummary", description: "One attempt of a dead letter." });

/** Loose, because a dead letter is shown as the version that stored it wrote it. */
export const deadLetter = z
  .looseObject({
    sequence: z.int().min(1).meta({ description: "Identifies it in calls about one dead letter." }),
    reason: z.string().meta({
      description:
        "exhausted, rejected, gone, blocked, uninstalled, expired, redelivered, discarded, invalid (the event could not be read) or unreadable (the dead letter itself can't be).",
    }),
    error: z.string().nullable(),
    dead_lettered_at: time,
    delivery_id: z.string().optional().meta({ description: "Absent when no delivery could be read." }),
    app: z.string().nullish().meta({ description: "Null: it belongs to no app." }),
    installation_uuid: z.string().optional(),
    attempts_made: count.optional(),
    attempts: z.array(attemptSummary).optional(),
    event: z
      .looseObject({
        id: z.string(),
        resource: z.string(),
        action: z.string(),
        organization_id: z.string(),
        occurred_at: time,
        data: z.looseObject({}),
      })
      .optional(),
    subject: z.string().optional().meta({ description: "Present, like the members below, when a whole message was kept." }),
    headers: z.record(z.string(), z.string()).optional(),
    body: z
      .string()
      .optional()
      .meta({ description: "The message's body, or the beginning of an event's `data` that was too large to be kept." }),
    body_base64: z.string().optional().meta({ description: "The body when it is not UTF-8." }),
    body_cut: z.boolean().optional().meta({ description: "Only the beginning of the body was kept, so it can't be replayed." }),
  })
  .meta({
    id: "DeadLetter",
    description: "A delivery, or an event, that was given up.",
    example: {
      sequence: 7,
      reason: "exhausted",
      error: "answered with status 503",
      dead_lettered_at: "2026-01-05T10:11:12.345Z",
      delivery_id: DELIVERY_ID,
      app: "acme-tracker",
      installation_uuid: UUID,
      attempts_made: 1,
      attempts: [
        {
          attempt: 1,
          at: "2026-01-05T10:11:12.300Z",
          outcome: "failed",
          response_code: 503,
          duration_ms: 55,
          error: "answered with status 503",
        },
      ],
      event: {
        id: "evt-1",
        resource: "issue",
        action: "created",
        organization_id: "42",
        occurred_at: "2026-01-05T10:11:12.000Z",
        data: { issue: { id: "1" } },
      },
    },
  });

export const deletedDeadLetters = z
  .strictObject({
    deleted: count.meta({ description: "For a dry run: how many would be." }),
    complete: z.boolean().meta({ description: "False: more match; repeat the call." }),
    dry_run: z.boolean(),
  })
  .meta({
    id: "DeletedDeadLetters",
    description: "How many dead letters a call removed.",
    example: { deleted: 12, complete: true, dry_run: false },
  });

export const replayedOne = z
  .strictObject({ sequence: z.int() })
  .meta({ id: "ReplayedOne", description: "The dead letter that is replayed.", example: { sequence: 7 } });

export const replay = z
  .strictObject({
    replay_id: z.string(),
    state: z.enum(["running", "done", "failed"]),
    matched: count,
    replayed: count,
    skipped: count.meta({ description: "Dead letters that hold no delivery, or an event that no installation wants now." }),
    error: z.string().nullable(),
  })
  .meta({
    id: "DeadLetterReplay",
    description: "A replay of dead letters and its progress.",
    example: { replay_id: UUID, state: "done", matched: 3, replayed: 3, skipped: 0, error: null },
  });

export const deadLetterPage = pageOf(deadLetter, "DeadLetterPage", "dead-letters.7");
