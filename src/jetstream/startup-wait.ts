/** Repeats the steps of a start until JetStream can perform them: a starting cluster elects its leaders first. */
import { AppError } from "../model/app-error.ts";
import type { Clock } from "../model/clock.ts";
import type { Logger } from "../model/logger.ts";
import { sleep } from "../model/periodic.ts";
import type { ConnectionProblems } from "./connection.ts";
import { NO_ANSWER, unavailability } from "./nats-errors.ts";
import { lackedPermission } from "./nats-refusal.ts";

export interface StartupWaitOptions {
  /** For all steps together, counted from the creation. */
  readonly startupTimeoutMs: number;
  /** Aborts the wait. */
  readonly signal: AbortSignal;
  /** Permissions that the connection's user lacks. */
  readonly permissions?: Pick<ConnectionProblems, "lacks" | "onLacking">;
}

/**
 * @param step names the step in messages, e.g. `the streams`; @param attempt is called again after a temporary failure
 * @throws AppError JETSTREAM_UNAVAILABLE, and any permanent failure unchanged
 */
export type StartupWait = <T>(step: string, attempt: () => Promise<T>) => Promise<T>;

const TRY_AGAIN_MS = 500;
/** The first failure is logged, then one in so many. */
const LOG_EVERY = 10;

/** Nothing starts without JetStream's API. */
const NEEDED = /^\$JS\.API\./;

export function createStartupWait(
  { startupTimeoutMs, signal, permissions }: StartupWaitOptions,
  clock: Clock,
  logger: Logger,
): StartupWait {
  const giveUpAt = clock.now() + startupTimeoutMs;

  return async (step, attempt) => {
    let reason = NO_ANSWER;
    let isOver = false;
    const untilDone = async () => {
      for (let tries = 0; ; tries++) {
        try {
          return await attempt();
        } catch (error) {
          const lacked = lackedPermission(error instanceof AppError ? error.cause : error);
          if (lacked !== null) throw refused(lacked, error);
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
      const [lacked] = permissions?.lacks() ?? [];
      if (lacked !== undefined && !signal.aborted) return reject(refused(lacked));
      const why = signal.aborted ? "stopped while starting" : `within ${startupTimeoutMs} ms: ${reason}`;
      reject(new AppError("JETSTREAM_UNAVAILABLE", `POSTHORN_NATS_URL: ${step} can't be used ${why}`, { retryable: true }));
    };
    const cancel = clock.after(giveUpAt - clock.now(), giveUp);
    signal.addEventListener("abort", giveUp, { once: true });
    const unfollow = permissions?.onLacking((subject) => {
      if (NEEDED.test(subject)) giveUp();
    });
    try {
      // An attempt may also hang, such as a watch that never begins.
      return await Promise.race([untilDone(), givenUp]);
    } finally {
      isOver = true;
      cancel();
      unfollow?.();
      signal.removeEventListener("abort", giveUp);
    }
  };
}

function refused(lacked: string, cause?: unknown): AppError {
  return new AppError("CONFIG_INVALID", `POSTHORN_NATS_URL: ${lacked}; wanted the permissions of docs/security.md`, { cause });
}
