/** The failures among an app's attempts, in words: `404 from 208, no response from 4 of 215`. */
import { count } from "./format.ts";

/** Further codes are summed. */
const CODES_SHOWN = 3;

/** @param byCode response code → failures; "0": no response */
export function failureText(attempts: number, byCode: Readonly<Record<string, number>>): string {
  const codes = Object.entries(byCode).sort(([, a], [, b]) => b - a);
  if (codes.length === 0) return `0 of ${count(attempts)} failed`;
  const shown = codes.slice(0, CODES_SHOWN).map(([code, failures]) => `${code === "0" ? "no response" : code} from ${count(failures)}`);
  const others = codes.slice(CODES_SHOWN).reduce((sum, [, failures]) => sum + failures, 0);
  return `${[...shown, ...(others === 0 ? [] : [`other codes from ${count(others)}`])].join(", ")} of ${count(attempts)}`;
}
