/** The attempts of one delivery, oldest first. */

import type { Outcome } from "../../model/outcome.ts";
import { duration } from "../format.ts";
import { OutcomePill } from "./pills.tsx";
import { When } from "./when.tsx";

export interface ListedAttempt {
  readonly key: string;
  readonly attempt: number;
  readonly at: string;
  readonly outcome: Outcome;
  readonly code: number;
  readonly durationMs: number;
  readonly error: string | null;
}

interface AttemptListProps {
  readonly attempts: readonly ListedAttempt[];
  /** The attempt that is shown. */
  readonly shown?: string;
  readonly onOpen?: (key: string) => void;
}

export function AttemptList({ attempts, shown, onOpen }: AttemptListProps) {
  return (
    <ol class="attempts">
      {attempts.map(({ key, attempt, at, outcome, code, durationMs, error }) => (
        <li key={key} aria-current={key === shown ? "true" : undefined}>
          <span class="numeric faint">{attempt}</span>
          {onOpen === undefined || key === shown ? (
            <When at={at} bare />
          ) : (
            <button type="button" class="link" onClick={() => onOpen(key)}>
              <When at={at} bare />
            </button>
          )}
          <OutcomePill outcome={outcome} code={code} />
          <span class="numeric muted">{duration(durationMs)}</span>
          {error !== null && <span class="muted ellipsis attempt-error">{error}</span>}
        </li>
      ))}
    </ol>
  );
}
