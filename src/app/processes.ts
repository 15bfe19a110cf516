/**
 * Several workers under one parent (POSTHORN_PROCESSES), which share the API's port. Each is a replica like any other.
 *
 * PROCESS-1  A worker that ends is replaced once any of them has been ready, so an outage at a replacement's start does not end the
 *            others. Until then the settings or the servers are wrong, and a worker that can't start ends all.
 * PROCESS-2  A stop reaches every worker once, and the parent ends after the last one, with 0 only if each finished its work.
 */
import cluster, { type Worker } from "node:cluster";
import type { Config } from "../config/settings.ts";
import { systemClock } from "../model/clock.ts";
import { createLog, logOutput } from "../telemetry/logger.ts";
import { createMetricsExchange, type WorkerMessage } from "./worker-messages.ts";

export interface Workers {
  /** The exit code, when all have ended. */
  readonly ended: Promise<number>;
  /** Ends all of them; a second call ends them at once. */
  readonly stop: () => void;
}

const FIRST_PAUSE_MS = 1_000;
const LONGEST_PAUSE_MS = 30_000;
/** A worker that ran for so long had no fault that comes at once again. */
const SETTLED_MS = 60_000;

export function startWorkers({ processes, logLevel, logFormat }: Pick<Config, "processes" | "logLevel" | "logFormat">): Workers {
  const { logger } = createLog(logLevel, logOutput(logFormat));
  const clock = systemClock;
  const workers = new Set<Worker>();
  const exchange = createMetricsExchange(clock);
  let isStopping = false;
  /** PROCESS-1 */
  let hasStarted = false;
  let exitCode = 0;
  let pauseMs = FIRST_PAUSE_MS;
  /** Also keeps the parent alive while no worker runs. */
  let restart: NodeJS.Timeout | undefined;
  const { promise: ended, resolve: end } = Promise.withResolvers<number>();

  const startMissing = (): void => {
    restart = undefined;
    if (!isStopping && workers.size < processes) start();
  };

  const start = (): void => {
    const worker = cluster.fork();
    const startedAt = clock.now();
    workers.add(worker);
    worker.once("listening", () => {
      hasStarted = true;
      // One after the other: the first one creates what is missing on the servers. The place of one that has ended stays empty for a pause.
      if (restart === undefined) startMissing();
    });
    worker.on("message", (message: WorkerMessage) => exchange(worker, [...workers], message));
    worker.once("exit", (code, signal) => {
      workers.delete(worker);
      if (isStopping || !hasStarted) {
        // A worker that the stop reached before its handlers were there had no work to finish.
        exitCode = Math.max(exitCode, code ?? (isStopping && signal === "SIGTERM" ? 0 : 1));
        if (!isStopping) {
          logger.error({ pid: worker.process.pid, exit_code: code, signal }, "a worker process ended before it was ready, stopping");
          stop();
        }
        if (workers.size === 0) end(exitCode);
        return;
      }
      pauseMs = clock.now() - startedAt > SETTLED_MS ? FIRST_PAUSE_MS : Math.min(2 * pauseMs, LONGEST_PAUSE_MS);
      logger.error(
        { pid: worker.process.pid, exit_code: code, signal, again_in_ms: pauseMs },
        "a worker process ended; another one starts",
      );
      restart ??= setTimeout(startMissing, pauseMs);
    });
  };

  const stop = (): void => {
    isStopping = true;
    clearTimeout(restart);
    for (const worker of workers) worker.process.kill("SIGTERM");
    if (workers.size === 0) end(exitCode);
  };

  logger.info({ processes }, "starting worker processes");
  start();
  return { ended, stop };
}
