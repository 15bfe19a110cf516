/** The wait of a parked delivery whose app is at its rate limit, or at the pace that its receiver takes. */
import { type AppPace, paceText } from "../model/app-pace.ts";
import { toRfc3339 } from "../model/clock.ts";

/** The app's limit, and about how many deliveries come before this one in its queue. */
export interface PacedWait extends AppPace {
  readonly ahead: number;
}

/** When its turn comes, if nothing else holds it up; null: not known. */
export function turnAt({ perS, ahead }: PacedWait, now: number): number | null {
  return perS === null ? null : Math.round(now + (ahead * 1_000) / perS);
}

export function pacedWaitText(wait: PacedWait, now: number): string {
  const { ahead } = wait;
  const turn = turnAt(wait, now);
  const behind = ahead === 0 ? "first in its queue" : `behind about ${ahead} earlier deliver${ahead === 1 ? "y" : "ies"}`;
  const when = ahead === 0 || turn === null ? "" : `; its turn comes at about ${toRfc3339(turn)}`;
  return `it waits for ${paceText(wait)}, ${behind}${when}`;
}
