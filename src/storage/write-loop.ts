/** Sends the buffered attempts and notes, one batch a tick, as long as there are any. */
import type { Clock } from "../model/clock.ts";
import { untilTick } from "../model/shared-tick.ts";
import type { BatchSender } from "./batch-sender.ts";
import type { Batch } from "./batch-writer.ts";
import type { LogBuffer } from "./log-buffer.ts";

export interface WriteLoop {
  /** Something waits. */
  start(): void;
  /** Doesn't wait for ticks. Resolves when nothing is left, at the latest after `deadlineMs`. */
  flush(deadlineMs: number): Promise<void>;
}

export interface WriteLoopDependencies {
  readonly buffer: LogBuffer;
  readonly sender: BatchSender;
  readonly clock: Clock;
  readonly onWritten: (batch: Batch) => void;
}

export function createWriteLoop({ buffer, sender, clock, onWritten }: WriteLoopDependencies): WriteLoop {
  let running: Promise<void> | undefined;
  let flushes = 0;
  let endWait = (): void => {};

  const tick = (): Promise<void> =>
    new Promise((resolve) => {
      endWait = resolve;
      if (flushes > 0) resolve();
      else clock.after(untilTick(clock.now()), resolve);
    });

  const run = async (): Promise<void> => {
    for (;;) {
      await tick();
      const batch = buffer.nextBatch();
      if (batch === null) break;
      await sender.send(batch);
      onWritten(batch);
    }
    running = undefined;
  };

  return {
    start() {
      running ??= run();
    },
    async flush(deadlineMs) {
      flushes++;
      endWait();
      sender.wake();
      await Promise.race([running, new Promise<void>((resolve) => clock.after(deadlineMs, resolve))]);
      flushes--;
    },
  };
}
