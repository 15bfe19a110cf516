/**
 * How far this process's clock is ahead of the NATS server's: delay tiers, expiry and leases count on both being the same.
 * Servers from 2.10 on say their time in every answer about a stream. Before that, a record is written to the registry bucket
 * every few seconds, and the time at which the server stored it is read back.
 */
import type { StreamInfo } from "nats";
import type { Clock } from "../model/clock.ts";
import type { Logger } from "../model/logger.ts";
import { epochMsOf } from "../model/rfc3339.ts";

/** What is needed of the bucket; registry/store.ts has it. */
export interface ClockRecords {
  putRecord(key: string, value: string): Promise<number>;
  readRecord(key: string): Promise<{ readonly revision: number; readonly storedAt: number } | null>;
}

export interface ClockSkew {
  /** Milliseconds that this clock is ahead; negative when it is behind. */
  skewMs(): number;
  /** @param askedAt when the answer was asked for, by this clock */
  observe(answer: StreamInfo, askedAt: number): Promise<void>;
}

const WARNING_MS = 1_000;
const EVERY_MS = 10_000;
/** What takes longer says too little. */
const LONGEST_ROUND_TRIP_MS = 2_000;
const KEY = "clock";

export function createClockSkew(records: ClockRecords, clock: Clock, logger: Logger): ClockSkew {
  let skewMs = 0;
  let writtenAt = Number.NEGATIVE_INFINITY;

  /** The server's time was `serverNow` at some moment from `from` until now. */
  const note = (from: number, serverNow: number): void => {
    const now = clock.now();
    if (Number.isNaN(serverNow) || now - from > LONGEST_ROUND_TRIP_MS) return;
    const before = skewMs;
    skewMs = Math.round((from + now) / 2 - serverNow);
    if (Math.abs(skewMs) > WARNING_MS && Math.abs(before) <= WARNING_MS)
      logger.warn({ clock_skew_ms: skewMs }, "this clock and the NATS server's differ; retries are early or late by as much");
  };

  const writeAndRead = async (): Promise<void> => {
    const startedAt = clock.now();
    if (startedAt - writtenAt < EVERY_MS) return;
    writtenAt = startedAt;
    const revision = await records.putRecord(KEY, "{}");
    const stored = await records.readRecord(KEY);
    // An older one comes from a node that lags; a later one of another replica was stored in between, too.
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
