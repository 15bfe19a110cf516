/** Waits for the end of a replay, on whichever replica it runs. */
import type { Clock } from "../model/clock.ts";
import { resolvesWithin } from "../model/within.ts";
import { hasEnded, type ReplayRecord } from "./replay-record.ts";
import type { ReplayStore } from "./replay-store.ts";

/** Resolves when it has ended or was removed, and after `ms` at the latest. */
export async function endOfReplay<R extends Pick<ReplayRecord, "state">>(
  store: Pick<ReplayStore<R>, "known" | "onChange">,
  id: string,
  ms: number,
  clock: Clock,
): Promise<void> {
  const { promise: hasCome, resolve } = Promise.withResolvers<void>();
  const look = (): void => {
    const record = store.known(id);
    if (record === undefined || hasEnded(record)) resolve();
  };
  const stopListening = store.onChange(look);
  look();
  await resolvesWithin(clock, ms, hasCome);
  stopListening();
}
