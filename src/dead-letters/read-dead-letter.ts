/**
 * Reads one stored dead letter. One that is damaged, or stored by another program, is shown as `unreadable` with the beginning
 * of its bytes, and never hides the others.
 */

import { isUtf8 } from "node:buffer";
import { type StreamMessage, textOf } from "../jetstream/read-stream.ts";
import type { Subjects } from "../jetstream/subjects.ts";
import { toRfc3339 } from "../model/clock.ts";
import { OUTCOMES } from "../model/outcome.ts";
import { epochMsOf } from "../model/rfc3339.ts";

export interface DeadLetter {
  /** Its sequence in the stream, which identifies it. */
  readonly sequence: number;
  readonly app: string | null;
  /** As stored: reason, error, dead_lettered_at, delivery_id, attempts, event, … */
  readonly content: Readonly<Record<string, unknown>>;
  /** The stored JSON object's text. */
  readonly json: string;
}

export const UNREADABLE = "unreadable";

const SHOWN_BYTES = 1024;

export function readDeadLetter(message: Omit<StreamMessage, "headers">, { parseDeadLetter }: Subjects): DeadLetter {
  const { subject, sequence, data } = message;
  const app = parseDeadLetter(subject)?.app ?? null;
  const text = textOf(data);
  const read = parse(text);
  if (typeof read === "object") return { sequence, app, content: read, json: text.trim() };
  const content = unreadable(message, app, read);
  return { sequence, app, content, json: JSON.stringify(content) };
}

/** @returns the object, or the problem with it */
function parse(text: string): Readonly<Record<string, unknown>> | string {
  let content: unknown;
  try {
    content = JSON.parse(text);
  } catch {
    return "the stored message is not JSON";
  }
  if (!isObject(content)) return "the stored message is not a JSON object";
  return problemIn(content) ?? content;
}

function unreadable(
  { subject, data, storedAt }: Omit<StreamMessage, "headers">,
  app: string | null,
  error: string,
): Readonly<Record<string, unknown>> {
  const shown = data.subarray(0, cutAt(data));
  return {
    reason: UNREADABLE,
    error,
    dead_lettered_at: toRfc3339(storedAt),
    app,
    subject,
    ...(shown.length < data.length ? { body_cut: true, body_bytes: data.length } : {}),
    ...(isUtf8(shown) ? { body: Buffer.from(shown).toString("utf8") } : { body_base64: Buffer.from(shown).toString("base64") }),
  };
}

/** Never cuts within a UTF-8 character, which bytes 10xxxxxx continue. */
function cutAt(data: Uint8Array): number {
  if (data.length <= SHOWN_BYTES) return data.length;
  let end = SHOWN_BYTES;
  while (end > SHOWN_BYTES - 4 && ((data[end] ?? 0) & 0xc0) === 0x80) end--;
  return end;
}

type Check = (value: unknown) => boolean;

const isObject = (value: unknown): value is Record<string, unknown> => typeof value === "object" && value !== null && !Array.isArray(value);
const isText: Check = (value) => typeof value === "string";
const isCount: Check = (value) => Number.isSafeInteger(value) && Number(value) >= 0;
const isTime: Check = (value) => typeof value === "string" && !Number.isNaN(epochMsOf(value));
const orNull =
  (check: Check): Check =>
  (value) =>
    value === null || check(value);
const has =
  (members: Readonly<Record<string, Check>>): Check =>
  (value) =>
    isObject(value) && Object.entries(members).every(([name, check]) => check(value[name]));

const REQUIRED: Readonly<Record<string, Check>> = { reason: isText, error: orNull(isText), dead_lettered_at: isTime };
const OPTIONAL: Readonly<Record<string, Check>> = {
  delivery_id: isText,
  app: orNull(isText),
  installation_uuid: isText,
  attempts_made: isCount,
  attempts: (value) => Array.isArray(value) && value.every(isAttempt),
  event: has({ id: isText, resource: isText, action: isText, organization_id: isText, occurred_at: isTime, data: isObject }),
  subject: isText,
  headers: (value) => isObject(value) && Object.values(value).every(isText),
  body: isText,
  body_base64: isText,
  body_cut: (value) => typeof value === "boolean",
  // It would hide the real sequence.
  sequence: () => false,
};
const isAttempt = has({
  attempt: (value) => isCount(value) && value !== 0,
  at: isTime,
  outcome: (value) => (OUTCOMES as readonly unknown[]).includes(value),
  response_code: isCount,
  duration_ms: (value) => typeof value === "number",
  error: orNull(isText),
});

function problemIn(content: Readonly<Record<string, unknown>>): string | null {
  for (const [name, check] of Object.entries(REQUIRED)) if (!check(content[name])) return `its ${name} is missing or malformed`;
  for (const [name, check] of Object.entries(OPTIONAL)) {
    if (Object.hasOwn(content, name) && !check(content[name])) return `its ${name} is malformed`;
  }
  return null;
}
