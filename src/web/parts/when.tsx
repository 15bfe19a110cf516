/** A point in time, exact on hover. */
import { ago, exactTime, time } from "../format.ts";
import { useNow } from "../use-now.ts";

export function When({ at, relative = false }: { at: string; relative?: boolean }) {
  const now = useNow();
  const epochMs = Date.parse(at);
  return (
    <time dateTime={at} title={exactTime(epochMs)}>
      {relative ? ago(epochMs, now) : time(epochMs, now)}
    </time>
  );
}
