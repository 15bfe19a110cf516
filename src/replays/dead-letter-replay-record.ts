/** The record of a replay of dead letters by their filter: what is asked for, and how far it has come. */
import { z } from "zod";
import { AppError } from "../model/app-error.ts";
import { parseJsonObject } from "../model/json-object.ts";
import type { RecordKind } from "../model/record-kind.ts";
import { REPLAY_STATES } from "../model/replay.ts";

const count = z.int().min(0);
const text = z.string().nullable();
/** Milliseconds since the epoch. */
const time = z.number();

const record = z.looseObject({
  id: z.string(),
  /** As DeadLetterFilter of the dead-letters room. */
  filter: z.strictObject({
    ...{ app: text, installationUuid: text, organizationId: text, eventType: text },
    ...{ start: time.nullable(), end: time.nullable(), ownOnly: z.boolean() },
  }),
  /** The organization whose dead letters are meant; null: more than one. */
  organization_id: text,
  dry_run: z.boolean(),
  state: z.enum(REPLAY_STATES),
  error: text,
  created_at: time,
  updated_at: time,
  ended_at: time.nullable(),
  /** Names the runner that has it; progress of an earlier one is not written any more. */
  runner: text,
  /** Dead letters up to this sequence were looked at; those after `last` are not the replay's. */
  after: count,
  last: count,
  matched: count,
  replayed: count,
  /** Dead letters that can't be replayed and stay: unreadable, cut to fit, or an event without recipients. */
  skipped: count,
});

export type DeadLetterReplay = z.output<typeof record>;

const PREFIX = "dead-letter-replay.";

export const DEAD_LETTER_REPLAYS: RecordKind<DeadLetterReplay> = {
  prefix: PREFIX,
  parse(id, value) {
    const found = record.safeParse(parseJsonObject(`record ${PREFIX}${id}`, value));
    if (found.success && found.data.id === id) return found.data;
    const path = found.success ? "id" : found.error.issues[0]?.path.join(".");
    throw new AppError("RECORD_INVALID", `record ${PREFIX}${id}: ${path} is missing or malformed`);
  },
};
