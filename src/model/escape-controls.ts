/** Keeps text of others from controlling a terminal or breaking its line. */

/** C0, DEL and C1, line and paragraph separators, and marks that change the direction of text. */
export const CONTROLS = /[\p{Cc}\u2028\u2029\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/gu;

/** Writes each of them as JSON does, `\u001b`; JSON.stringify leaves some as they are. */
export function escapeControls(text: string): string {
  return text.replace(CONTROLS, (control) => `\\u${control.charCodeAt(0).toString(16).padStart(4, "0")}`);
}
