/** The text of one member of a JSON object's text, found without reading it as values. */
import { layOutJson } from "./json-text.ts";

/** Compact; null when there is no such member. */
export function memberText(text: string, name: string): string | null {
  const layout = layOutJson(text);
  if (layout === null) return null;
  const wanted = JSON.stringify(name);
  let depth = 0;
  let found: string | null = null;
  for (const { kind, text: piece } of layout.tokens) {
    if (kind === "space") continue;
    const mark = kind === "mark" ? piece.trim() : "";
    if (found !== null && depth === 1 && (mark === "," || mark === "}")) return found;
    if (mark === "{" || mark === "[") depth++;
    if (mark === "}" || mark === "]") depth--;
    if (found !== null && !(depth === 1 && mark === ":")) found += mark === ":" ? ":" : piece;
    if (depth === 1 && kind === "key" && piece === wanted) found = "";
  }
  return found;
}
