/** Sends a batch to Redis until Redis has accepted it, with growing pauses between tries. */
import { randomUUID } from "node:crypto";
import type { LateBatch } from "../delivery/tracing-ports.ts";
import { messageOf } from "../model/app-error.ts";
import type { Clock } from "../model/clock.ts";
import type { Logger } from "../model/logger.ts";
import type { Batch, WriteBatch } from "./batch-writer.ts";

export interface BatchSender {
  /** Resolves when Redis has accepted the batch; one batch at a time. */
  send(batch: Batch): Promise<void>;
  /** Ends the current pause. */
  wake(): void;
  /** Number of refused writes to single keys. */
  refused(): number;
}

export interface BatchSenderDependencies {
  readonly write: WriteBatch;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Called for a batch that took long or more than one try. */
  readonly onLateBatch?: ((batch: LateBatch) => void) | undefined;
  /** For log lines. */
  readonly counts: () => { readonly buffered: number; readonly dropped: number };
}

/** Dedup records should be written within this time. */
const LATE_MS = 50;
const FIRST_RETRY_MS = 100;
const MAX_RETRY_MS = 1_000;
const LOG_REFUSED_EVERY_MS = 10_000;

export function createBatchSender({ write, clock, logger, onLateBatch, counts }: BatchSenderDependencies): BatchSender {
  const writer = randomUUID();
  let batchNumber = 0;
  let refused = 0;
  let refusedLoggedAt = Number.NEGATIVE_INFINITY;
  let isFailing = false;
  let wake = (): void => {};

  /** A key of another type may be in the way of every batch, so its log line is limited. */
  const countRefused = (problems: readonly string[]): void => {
    if (problems.length === 0) return;
    refused += problems.length;
    const now = clock.now();
    if (now - refusedLoggedAt < LOG_REFUSED_EVERY_MS) return;
    refusedLoggedAt = now;
    logger.error({ problems: [...new Set(problems)].slice(0, 5) }, "Redis refused writes to single keys; the others were written");
  };

  const pause = (ms: number): Promise<void> =>
    new Promise((resolve) => {
      wake = resolve;
      clock.after(ms, resolve);
    });

  return {
    async send(batch) {
      batchNumber++;
      const startedAt = clock.now();
      let lastError: string | null = null;
      for (let tries = 1, retryMs = FIRST_RETRY_MS; ; tries++, retryMs = Math.min(retryMs * 2, MAX_RETRY_MS)) {
        try {
          countRefused(await write(writer, batchNumber, batch));
        } catch (error) {
          lastError = messageOf(error);
          if (!isFailing) logger.warn({ error: lastError }, "request log not written; attempts are buffered");
          isFailing = true;
          await pause(retryMs);
          continue;
        }
        if (isFailing) logger.info(counts(), "request log written again");
        isFailing = false;
        const endedAt = clock.now();
        const traceparents = batch.entries.map(({ traceparent }) => traceparent);
        if (tries > 1 || endedAt - startedAt > LATE_MS) onLateBatch?.({ startedAt, endedAt, tries, error: lastError, traceparents });
        return;
      }
    },
    wake: () => wake(),
    refused: () => refused,
  };
}
