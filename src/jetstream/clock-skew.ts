/**
 * Measures how far this machine's clock is ahead of the NATS server's. Servers since 2.10 include their time in every answer about a
 * stream. With older ones, a record is written to the registry bucket every 10 s, and the time at which the server stored it is read back.
 */
import type { StreamInfo } from "nats";
import type { Clock } from "../model/clock.ts";
import type { Logger } from "../model/logger.ts";
import { epochMsOf } from "../model/rfc3339.ts";

/** The bucket operations needed here, which registry/store.ts implements. */
export interface ClockRecords {
  putRecord(key: string, value: string): Promise<number>;
  readRecord(key: string): Promise<{ readonly revision: number; readonly storedAt: number } | null>;
}

export interface ClockSkew {
  /** Milliseconds by which this clock is ahead; negative when it is behind. */
  skewMs(): number;
  /** @param askedAt when the request for the answer was sent, by this clock */
  observe(answer: StreamInfo, askedAt: number): Promise<void>;
}

const WARNING_MS = 1_000;
const EVERY_MS = 10_000;
/** A longer round trip is too inexact. */
const LONGEST_ROUND_TRIP_MS = 2_000;
const KEY = "clock";

export function createClockSkew(records: ClockRecords, clock: Clock, logger: Logger): ClockSkew {
  let skewMs = 0;
  let writtenAt = Number.NEGATIVE_INFINITY;

  /** The server's time was `serverNow` at some moment between `from` and now. */
  const note = (from: number, serverNow: number): void => {
    const now = clock.now();
    if (Number.isNaN(serverNow) || now - from > LONGEST_ROUND_TRIP_MS) return;
    const before = skewMs;
    skewMs = Math.round((from + now) / 2 - serverNow);
    if (Math.abs(skewMs) > WARNING_MS && Math.abs(before) <= WARNING_MS)
      logger.warn({ clock_skew_ms: skewMs }, "this machine's clock differs from the NATS server's");
  };

  const writeAndRead = async (): Promise<void> => {
    const startedAt = clock.now();
    if (startedAt - writtenAt < EVERY_MS) return;
    writtenAt = startedAt;
    const revision = await records.putRecord(KEY, "{}");
    const stored = await records.readRecord(KEY);
    // An older record comes from a node that lags. A newer one, by another replica, was stored within the round trip as well.
    if (stored !== null && stored.revision >= revision) note(startedAt, stored.storedAt);
  };

  return {
    skewMs: () => skewMs,
    async observe(answer, askedAt) {
      const { ts } = answer as StreamInfo & { readonly ts?: string };
      if (ts === undefined) await writeAndRead();
      else note(askedAt, epochMsOf(ts));
    },
  };
}
