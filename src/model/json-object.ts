/**
 * Reads members of parsed JSON. Every error is an AppError RECORD_INVALID that names the member, the kind of value found and the one
 * wanted, but no value: it could be secret.
 */
import { AppError, messageOf } from "./app-error.ts";

/** An object inside a JSON text. */
export interface JsonObject {
  /** Leads to its members in an error: empty, or `event.`. */
  readonly path: string;
  readonly members: Readonly<Record<string, unknown>>;
}

/** The kind of a parsed JSON value; undefined: a member that is absent. */
export function kindOfValue(value: unknown): string {
  if (value === undefined) return "nothing";
  if (value === null) return "null";
  if (Array.isArray(value)) return "an array";
  return typeof value === "object" ? "an object" : `a ${typeof value}`;
}

/** @throws AppError when the value is not an object */
export function jsonObject(name: string, value: unknown): Readonly<Record<string, unknown>> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) refuse(name, value, "an object");
  return value as Readonly<Record<string, unknown>>;
}

/** @throws AppError when the text is not a JSON object */
export function parseJsonObject(name: string, text: string): Readonly<Record<string, unknown>> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new AppError("RECORD_INVALID", `${name}: not valid JSON (${messageOf(error)}), wanted an object`);
  }
  return jsonObject(name, value);
}

/** @throws AppError when the member is not an array of objects; an absent one is empty */
export function objectsIn({ path, members }: JsonObject, name: string): JsonObject[] {
  const value = members[name] ?? [];
  if (!Array.isArray(value)) refuse(path + name, value, "an array");
  return value.map((item: unknown, at) => ({ path: `${path}${name}[${at}].`, members: jsonObject(`${path}${name}[${at}]`, item) }));
}

export function stringIn({ path, members }: JsonObject, name: string): string {
  const value = members[name];
  return typeof value === "string" ? value : refuse(path + name, value, "a string");
}

export function optionalStringIn(object: JsonObject, name: string): string | null {
  return object.members[name] == null ? null : stringIn(object, name);
}

export function numberIn({ path, members }: JsonObject, name: string): number {
  const value = members[name];
  return typeof value === "number" ? value : refuse(path + name, value, "a number");
}

/** @throws AppError when the value is not an array of strings */
export function stringsOf(name: string, value: unknown): string[] {
  if (!Array.isArray(value)) refuse(name, value, "an array");
  return value.map((item: unknown, at) => (typeof item === "string" ? item : refuse(`${name}[${at}]`, item, "a string")));
}

function refuse(name: string, found: unknown, wanted: string): never {
  throw new AppError("RECORD_INVALID", `${name}: found ${kindOfValue(found)}, wanted ${wanted}`);
}
