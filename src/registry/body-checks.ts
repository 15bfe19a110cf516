/** Checks of a body that its schema can't make. */
import { REDACTED } from "../model/redaction/redacted-url.ts";
import type { RecordProblem } from "./record-problem.ts";
import { RecordInvalid, type RefusesUrl } from "./records.ts";

/** @throws AppError RECORD_INVALID, as do the other checks */
export function checkName(what: string, member: string, wanted: string, found: string | undefined): void {
  if (found === undefined || found === wanted) return;
  throw new RecordInvalid(what, [
    { path: member, message: `found ${JSON.stringify(found)}, wanted ${JSON.stringify(wanted)} as in the path` },
  ]);
}

export function checkSize(what: string, problems: readonly RecordProblem[]): void {
  if (problems.length > 0) throw new RecordInvalid(what, problems);
}

export type CheckUrl = (what: string, url: string | null, before?: string | null) => Promise<void>;

export function createCheckUrl(refusesUrl: RefusesUrl): CheckUrl {
  // `before`: a URL that was allowed once does not prevent other changes.
  return async (what, url, before = null) => {
    const problem = url === null || url === before ? null : await refusesUrl(url);
    if (problem === null) return;
    throw new RecordInvalid(what, [{ path: "webhook_url", message: `found ${JSON.stringify(withoutUser(url ?? ""))}, ${problem}` }]);
  };
}

/** A password must not appear in answers and logs. */
function withoutUser(url: string): string {
  return url.replace(/^([a-z]*:)?.*@/is, `$1${REDACTED}@`);
}
