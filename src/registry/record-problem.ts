/** A schema's issue in the words of the API: the member, the value found and the value wanted, but never a secret. */
import type { z } from "zod";
import { kindOfValue } from "../model/json-object.ts";
import { wantedOneOf } from "../model/nearest.ts";

export interface RecordProblem {
  /** Members from the top, joined by dots. */
  readonly path: string;
  readonly message: string;
}

type Issue = z.core.$ZodIssue;

const LONGEST_FOUND = 60;
/** Members whose values may be credentials. */
const SECRET = /secret|token|headers|url/i;

const TYPES: Readonly<Record<string, string>> = {
  string: "a string",
  number: "a number",
  int: "a whole number",
  boolean: "true or false",
  array: "a list",
  object: "an object",
  record: "an object",
};

/** @param known the members of the whole value */
export function recordProblem(issue: Issue, known: readonly string[]): RecordProblem {
  const path = issue.path.map(String).join(".");
  if (issue.code === "unrecognized_keys") {
    const message = `unknown ${issue.keys.length === 1 ? "member" : "members"} ${issue.keys.map(quoted).join(", ")}`;
    return { path, message: path === "" && known.length > 0 ? `${message}, ${wantedOneOf(issue.keys[0] ?? "", known)}` : message };
  }
  // A member's name is shown; its value may be a credential.
  if (issue.code === "invalid_key") return { path, message: `found the name ${quoted(String(issue.path.at(-1)))}, ${wanted(issue)}` };
  // The message is about several members.
  if (issue.code === "custom" && !issue.message.startsWith("wanted ")) return { path, message: issue.message };
  if (issue.input === undefined) return { path, message: "missing" };
  return { path, message: `found ${found(issue.input, SECRET.test(path))}, ${wanted(issue)}` };
}

/** A problem of a value that any account may have written, where a secret can be in any member. */
export function storedProblem(issue: Issue): RecordProblem {
  const message = issue.input === undefined ? "missing" : `found ${secretFound(issue.input)}, ${wanted(issue)}`;
  return { path: issue.path.map(String).join("."), message };
}

function found(value: unknown, isSecret: boolean): string {
  if (isSecret || (typeof value === "object" && value !== null)) return secretFound(value);
  return typeof value === "string" ? quoted(value) : String(value);
}

function secretFound(value: unknown): string {
  if (Array.isArray(value)) return "a list";
  return typeof value === "string" ? `a string of ${value.length} characters` : kindOfValue(value);
}

function quoted(text: string): string {
  return JSON.stringify(text.length <= LONGEST_FOUND ? text : `${text.slice(0, LONGEST_FOUND)}…`);
}

function wanted(issue: Issue): string {
  // The schema's own words.
  if (issue.message.startsWith("wanted ")) return issue.message;
  switch (issue.code) {
    case "invalid_type":
      return `wanted ${TYPES[issue.expected] ?? issue.expected}`;
    case "too_small":
      return `wanted ${atLimit(issue.origin, "least", issue.minimum)}`;
    case "too_big":
      return `wanted ${atLimit(issue.origin, "most", issue.maximum)}`;
    case "invalid_value":
      return `wanted ${oneOf(issue.values.map((value) => (typeof value === "string" ? value : JSON.stringify(value))))}`;
    case "invalid_format":
      return issue.format === "uuid" ? "wanted a UUID" : `wanted another form`;
    case "invalid_key":
      return issue.issues.map(({ message }) => message).join("; ");
    case "invalid_union":
      return `wanted ${oneOf(issue.errors.flat().map((error) => wanted(error).replace(/^wanted /, "")))}`;
    default:
      return issue.message;
  }
}

function atLimit(origin: string, most: "least" | "most", limit: number | bigint): string {
  if (origin === "string") return `at ${most} ${limit} ${limit === 1 ? "character" : "characters"}`;
  if (origin === "array" || origin === "object") return `at ${most} ${limit} of them`;
  return `${limit} or ${most === "least" ? "more" : "less"}`;
}

function oneOf(choices: readonly string[]): string {
  const all = [...new Set(choices)];
  return all.length < 2 ? (all[0] ?? "nothing") : `${all.slice(0, -1).join(", ")} or ${all.at(-1)}`;
}
