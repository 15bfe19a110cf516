/** Reads query parameters. Unknown ones are rejected, because an answer that ignores a filter would be wrong. */
import { z } from "zod";
import { wantedOneOf } from "../../model/nearest.ts";
import type { RecordProblem } from "../../registry/record-problem.ts";
import { parseRecord, RecordInvalid } from "../../registry/records.ts";

/** @param schema undefined: the call takes no parameters. @throws AppError RECORD_INVALID */
export function readQuery(schema: z.ZodType | undefined, given: Readonly<Record<string, unknown>>): unknown {
  const known = schema instanceof z.ZodObject ? Object.keys(schema.shape) : [];
  const problems: RecordProblem[] = [];
  const values: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(given)) {
    if (!known.includes(name))
      problems.push({
        path: name,
        message: `unknown parameter, ${known.length === 0 ? "the call takes no parameters" : wantedOneOf(name, known)}`,
      });
    else if (Array.isArray(value)) problems.push({ path: name, message: `given ${value.length} times, wanted once` });
    else if (value === "") problems.push({ path: name, message: "empty, wanted a value or no parameter" });
    else values[name] = value;
  }
  if (problems.length > 0) throw new RecordInvalid("query", problems);
  return schema && parseRecord(schema, values, "query");
}
