/** A problem of the API in words for a form: the field says what was found, so that the text says what is wanted. */

export interface FieldProblem {
  /** The member from the top, joined by dots. */
  readonly path: string;
  readonly message: string;
}

export const MISSING = "Fill this in.";

export function fieldProblem({ path, message }: FieldProblem): FieldProblem {
  return { path, message: textOf(path, message) };
}

function textOf(path: string, message: string): string {
  if (message === "missing") return MISSING;
  const [, found, rest] = /^found (.*?), ((?:wanted )?.*)$/s.exec(message) ?? [];
  if (found === undefined || rest === undefined) return message;
  const wanted = /^wanted (.*)$/s.exec(rest)?.[1];
  if (wanted === undefined) return `This can’t be used: ${rest}.`;
  const [, member] = /^(?:[^.]+)\.(.+)$/.exec(path) ?? [];
  // In a list the value names the item; elsewhere it is what the field shows.
  if (member === undefined || !/^\d+$/.test(member)) return `${member === undefined ? "Enter" : `${member}: enter`} ${wanted}.`;
  return `${found.replace(/^"(.*)"$/s, "“$1”")} can’t be used: enter ${wanted}.`;
}
