/** Reads query parameters. Unknown ones are rejected, because an answer that ignores a filter would be wrong. */
import { z } from "zod";
import { nearest } from "../../model/nearest.ts";
import type { RecordProblem } from "../../registry/record-problem.ts";
import { parseRecord, RecordInvalid } from "../../registry/records.ts";

/** @param schema undefined: the call takes no parameters. @throws AppError RECORD_INVALID */
export function readQuery(schema: z.ZodType | undefined, given: Readonly<Record<string, unknown>>): unknown {
  const known = schema instanceof z.ZodObject ? Object.keys(schema.shape) : [];
  const problems: RecordProblem[] = [];
  const values: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(given)) {
    if (!known.includes(name)) problems.push({ path: name, message: `unknown parameter, ${wanted(name, known)}` });
    else if (Array.isArray(value)) problems.push({ path: name, message: `given ${value.length} times, wanted once` });
    else if (value === "") problems.push({ path: name, message: "empty, wanted a value or no parameter" });
    else values[name] = value;
  }
  if (problems.length > 0) throw new RecordInvalid("query", problems);
  return schema && parseRecord(schema, values, "query");
}

function wanted(name: string, known: readonly string[]): string {
  if (known.length === 0) return "the call takes no parameters";
  const near = nearest(name, known);
  return `wanted ${known.join(", ")}${near === undefined ? "" : ` (did you mean ${near}?)`}`;
}
