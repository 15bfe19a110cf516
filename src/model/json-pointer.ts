/** RFC 6901: a value inside of a JSON text. */

export const JSON_POINTER = /^(\/([^~/]|~[01])*)+$/;

/** Its JSON text, compact; empty when there is none, or null. A string is without quotes. */
export function valueAt(json: string, pointer: string): string {
  let value: unknown = JSON.parse(json);
  for (const token of pointer.slice(1).split("/")) {
    const name = token.replaceAll("~1", "/").replaceAll("~0", "~");
    if (typeof value !== "object" || value === null || !Object.hasOwn(value, name)) return "";
    value = (value as Record<string, unknown>)[name];
  }
  if (value === null || value === undefined) return "";
  return typeof value === "string" ? value : JSON.stringify(value);
}
