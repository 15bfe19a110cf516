/** The values of If-Match and If-None-Match (RFC 9110 sections 8.8.3 and 13.1). */

const LIST = /^\s*(?:W\/)?"[^"]*"(?:\s*,\s*(?:W\/)?"[^"]*")*\s*$/;

/**
 * Tags are compared without `W/`, which a proxy that compresses answers adds.
 * @returns the tags without their quotes; `*` for any; null if the value has neither form
 */
export function readTags(value: string): readonly string[] | "*" | null {
  if (value.trim() === "*") return "*";
  return LIST.test(value) ? [...value.matchAll(/"([^"]*)"/g)].map(([, tag = ""]) => tag) : null;
}
