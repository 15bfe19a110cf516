/** A point in time, exact on hover. */
import { ago, exactTime, time, timeWithZone } from "../format.ts";
import { useNow } from "../use-now.ts";
import { offsetAt } from "../zone.ts";

interface WhenProps {
  readonly at: string;
  /** How long ago. */
  readonly relative?: boolean;
  /** Without the zone, which the column's heading names. */
  readonly bare?: boolean;
}

export function When({ at, relative = false, bare = false }: WhenProps) {
  const now = useNow();
  const epochMs = Date.parse(at);
  return (
    <time dateTime={at} title={exactTime(epochMs)}>
      {relative ? ago(epochMs, now) : bare ? time(epochMs, now) : timeWithZone(epochMs, now)}
    </time>
  );
}

/** Names the zone of a column of bare times. */
export function Zone() {
  return <span class="faint">{offsetAt(useNow())}</span>;
}
