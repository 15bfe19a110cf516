/** Repeats the steps of a start until JetStream can do them: a cluster that comes up elects its leaders first. */
import { AppError } from "../model/app-error.ts";
import type { Clock } from "../model/clock.ts";
import type { Logger } from "../model/logger.ts";
import { sleep } from "../model/periodic.ts";
import { NO_ANSWER, unavailability } from "./nats-errors.ts";

export interface StartupWaitOptions {
  /** For all steps together, from now on. */
  readonly startupTimeoutMs: number;
  /** Ends the waiting. */
  readonly signal: AbortSignal;
}

/**
 * @param step what is waited for, e.g. `the streams`; @param attempt may be called again after it has failed
 * @throws AppError JETSTREAM_UNAVAILABLE, and what waiting does not mend as it is
 */
export type StartupWait = <T>(step: string, attempt: () => Promise<T>) => Promise<T>;

const TRY_AGAIN_MS = 500;
/** A line in the log for the first try that fails, then for one in so many. */
const LOG_EVERY = 10;

export function createStartupWait({ startupTimeoutMs, signal }: StartupWaitOptions, clock: Clock, logger: Logger): StartupWait {
  const giveUpAt = clock.now() + startupTimeoutMs;

  return async (step, attempt) => {
    let reason = NO_ANSWER;
    let isOver = false;
    const untilDone = async () => {
      for (let tries = 0; ; tries++) {
        try {
          return await attempt();
        } catch (error) {
          const found = unavailability(error);
          if (found === null || isOver) throw error;
          reason = found;
          if (tries % LOG_EVERY === 0) logger.warn({ step, reason }, "waiting for JetStream");
          await sleep(clock, TRY_AGAIN_MS);
        }
      }
    };
    const { promise: givenUp, reject } = Promise.withResolvers<never>();
    const giveUp = (): void => {
      isOver = true;
      const why = signal.aborted ? "stopped while starting" : `within ${startupTimeoutMs} ms: ${reason}`;
      reject(new AppError("JETSTREAM_UNAVAILABLE", `POSTHORN_NATS_URL: ${step} can't be used ${why}`, { retryable: true }));
    };
    const cancel = clock.after(giveUpAt - clock.now(), giveUp);
    signal.addEventListener("abort", giveUp, { once: true });
    try {
      // An attempt may hang, too: a watch that never begins.
      return await Promise.race([untilDone(), givenUp]);
    } finally {
      isOver = true;
      cancel();
      signal.removeEventListener("abort", giveUp);
    }
  };
}
