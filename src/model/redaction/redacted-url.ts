import { withMaskedPath } from "./safe-url.ts";

/** The replacement of a value that must not be shown. */
export const REDACTED = "[redacted]";

/** A URL for those who may not see its secrets: without user name and password, tokens in its path, and the values in its query. */
export function redactedUrl(url: string): string {
  const [, head = "", query, fragment] = /^([^?#]*)(\?[^#]*)?(#.*)?$/s.exec(url) ?? [];
  const parts = query?.slice(1).split("&").map(redactedParameter).join("&");
  const shown = withMaskedPath(head, REDACTED).replace(/^([^/]*\/\/)[^/]*@/, `$1${REDACTED}@`);
  return shown + (parts === undefined ? "" : `?${parts}`) + (fragment ? `#${REDACTED}` : "");
}

function redactedParameter(parameter: string): string {
  const equals = parameter.indexOf("=");
  if (equals === -1) return parameter === "" ? "" : REDACTED;
  return equals === parameter.length - 1 ? parameter : `${parameter.slice(0, equals)}=${REDACTED}`;
}
